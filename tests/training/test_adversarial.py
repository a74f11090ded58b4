"""What discriminators lose and teach, against the packages and formulas that it was published with."""

from types import SimpleNamespace

import dac.nn.loss as dac
import pytest
import torch
from torch import Tensor, nn

from tokbench.models.discriminators.base import Judgement
from tokbench.specs.discriminators import MultiPeriod, MultiScaleStft
from tokbench.specs.losses import Adversarial
from tokbench.training.adversarial import Adversary, codec_loss, discriminator_loss, feature_loss

LEAST_SQUARES = Adversarial(form="least-squares", over_discriminators="sum", feature_norm="sum")
HINGE = Adversarial()
TINY = MultiScaleStft(kind="ms-stftd", num_filters=2, window_lengths=(64, 128))


def judgements(seed: int) -> list[Judgement]:
    """Return those of two discriminators with three and two layers."""
    generator = torch.Generator().manual_seed(seed)

    def maps(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return [
        Judgement(maps(2, 1, 7), [maps(2, 3, 20), maps(2, 5, 10)]),
        Judgement(maps(2, 1, 4, 3), [maps(2, 3, 8, 3)]),
    ]


@pytest.fixture
def real() -> list[Judgement]:
    return judgements(1)


@pytest.fixture
def fake() -> list[Judgement]:
    return judgements(2)


def test_least_squares_are_those_of_dac(real: list[Judgement], fake: list[Judgement]) -> None:
    by_audio = {"real": real, "fake": fake}

    class Discriminators(nn.Module):
        def forward(self, audio: str) -> list[list[Tensor]]:
            return [[*judgement.features, judgement.logits] for judgement in by_audio[str(audio)]]

    class Name(str):
        __slots__ = ()

        def clone(self) -> "Name":
            return self

        detach = clone

        @property
        def audio_data(self) -> str:
            return self

    theirs = dac.GANLoss(Discriminators())
    signals = Name("fake"), Name("real")
    torch.testing.assert_close(discriminator_loss(real, fake, LEAST_SQUARES), theirs.discriminator_loss(*signals))
    adversarial, features = theirs.generator_loss(*signals)
    torch.testing.assert_close(codec_loss(fake, LEAST_SQUARES), adversarial)
    torch.testing.assert_close(feature_loss(real, fake, LEAST_SQUARES), features)


def test_least_squares_are_those_of_speechtokenizer(real: list[Judgement], fake: list[Judgement]) -> None:
    from speechtokenizer.trainer import loss  # noqa: PLC0415  (it imports a plotting library)

    logits = [[judgement.logits for judgement in side] for side in (real, fake)]
    features = [[[*judgement.features, judgement.logits] for judgement in side] for side in (real, fake)]
    torch.testing.assert_close(discriminator_loss(real, fake, LEAST_SQUARES), loss.discriminator_loss(*logits))
    torch.testing.assert_close(codec_loss(fake, LEAST_SQUARES), loss.adversarial_loss(logits[1]))
    with_logits = LEAST_SQUARES.model_copy(update={"logits_are_features": True})
    # It doubles the distance by itself.
    torch.testing.assert_close(2 * feature_loss(real, fake, with_logits), loss.feature_loss(*features))


def test_the_hinge_counts_what_is_within_the_margin() -> None:
    def said(*logits: float) -> list[Judgement]:
        return [Judgement(torch.tensor([[[logit]]]), []) for logit in logits]

    # Real 2 is beyond the margin, 0.5 within it by 0.5; decoded -3 is beyond, 0.25 on the wrong side by 1.25.
    real, fake = said(2.0, 0.5), said(-3.0, 0.25)
    assert float(discriminator_loss(real, fake, HINGE)) == pytest.approx((0 + 0 + 0.5 + 1.25) / 2)
    assert float(codec_loss(fake, HINGE)) == pytest.approx((4 + 0.75) / 2)
    summed = HINGE.model_copy(update={"over_discriminators": "sum"})
    assert float(discriminator_loss(real, fake, summed)) == pytest.approx(1.75)


def test_relative_features_are_in_parts_of_the_wanted_ones() -> None:
    real = [Judgement(torch.zeros(1), [torch.tensor([2.0, -2.0]), torch.tensor([10.0])])]
    fake = [Judgement(torch.zeros(1), [torch.tensor([3.0, -2.0]), torch.tensor([5.0])])]
    relative, mean, total = (
        HINGE.model_copy(update={"feature_norm": norm}) for norm in ("relative", "mean", "sum")
    )
    assert float(feature_loss(real, fake, relative)) == pytest.approx((0.25 + 0.5) / 2)
    assert float(feature_loss(real, fake, mean)) == pytest.approx((0.5 + 5) / 2)
    assert float(feature_loss(real, fake, total)) == pytest.approx(5.5)


def test_the_codec_is_not_taught_by_what_the_discriminators_lose() -> None:
    adversary = Adversary([TINY], HINGE)
    wanted, decoded = torch.randn(2, 1, 400), torch.randn(2, 1, 400, requires_grad=True)
    adversary.own_loss(wanted, decoded).backward()
    assert decoded.grad is None
    assert all(parameter.grad is not None for parameter in adversary.parameters())


def test_both_sides_at_once_are_each_side_alone() -> None:
    adversary = Adversary([TINY], HINGE)
    wanted, decoded = torch.randn(2, 2, 1, 400)
    alone = discriminator_loss(adversary.judge(wanted), adversary.judge(decoded), HINGE)
    torch.testing.assert_close(adversary.own_loss(wanted, decoded), alone)


def test_a_width_multiplies_the_filters_of_all() -> None:
    declared = [TINY, MultiPeriod(kind="mpd", num_filters=4)]
    narrow = [each.model_copy(update={"num_filters": 1}) for each in declared]
    adversaries = Adversary(declared, HINGE, width=0.3), Adversary(narrow, HINGE)
    shapes = [[each.shape for each in adversary.parameters()] for adversary in adversaries]
    assert shapes[0] == shapes[1]


def test_features_without_weight_are_not_looked_at() -> None:
    adversary = Adversary([TINY], Adversarial(weight=3.0, feature_weight=0.0))
    assert adversary.weights == {"adversarial": 3.0}
    assert set(adversary.lessons(*torch.randn(2, 1, 1, 400))) == {"adversarial"}


def test_discriminators_are_drawn_as_often_as_declared_and_the_same_each_time() -> None:
    adversary = Adversary([TINY], Adversarial(update_probability=2 / 3))
    drawn = [adversary.is_drawn(step) for step in range(3000)]
    assert sum(drawn) / 3000 == pytest.approx(2 / 3, abs=0.03)
    assert drawn == [adversary.is_drawn(step) for step in range(3000)]
    assert all(Adversary([TINY], HINGE).is_drawn(step) for step in range(20))


def test_discriminators_step_only_while_they_lose_more_than_the_codec_did() -> None:
    adversary = Adversary([TINY], Adversarial(update_rule="while-losing"))
    assert adversary.is_losing(torch.tensor(0.1))
    adversary.remember(torch.tensor(1.5))
    assert not adversary.is_losing(torch.tensor(1.4))
    assert adversary.is_losing(torch.tensor(1.6))
    resumed = Adversary([TINY], Adversarial(update_rule="while-losing"))
    resumed.load_state_dict(adversary.state_dict())
    assert not resumed.is_losing(torch.tensor(1.4))
    always = Adversary([TINY], HINGE)
    always.remember(torch.tensor(1.5))
    assert always.is_losing(torch.tensor(0.1))


def test_health_is_of_the_steps_since_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    adversary = Adversary([TINY], HINGE)
    logits = torch.tensor([0.5, -2.0]).view(2, 1, 1)
    monkeypatch.setattr(adversary, "judge", lambda _: [SimpleNamespace(logits=logits)])
    for _ in range(2):
        adversary.own_loss(*torch.zeros(2, 1, 1, 4))
    health = adversary.health()
    assert health == pytest.approx({"discriminator_loss": 0.5, "wanted_logit": 0.5, "decoded_logit": -2.0})
    assert adversary.health() == {}
