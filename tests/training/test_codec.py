"""How a codec learns: whose turn it is, what stays as it is, and what is written in the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.card import read_card
from tokbench.codecs.registry import expand, load, one
from tokbench.codecs.trained import load_network
from tokbench.corpora.base import Corpus
from tokbench.models.neural_codec import NeuralCodec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.scales import overlaid
from tokbench.training.codec import CodecLearner
from tokbench.training.codec_card import look_ahead, offered
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress, Turn

BASE: Mapping[str, Any] = {
    "name": "mini",
    "kind": "neural-codec",
    "title": "Mini",
    "source": "none",
    "sample_rate_hz": 16000,
    "strides": [4, 5],
    "dimension": 8,
    "encoder": {"kind": "seanet", "num_filters": 4, "causal": True, "num_lstm_layers": 1},
    "decoder": {"kind": "seanet", "num_filters": 4, "causal": True, "num_lstm_layers": 1},
    "quantizer": {"kind": "rvq", "num_codebooks": 4, "codebook_size": 16},
    "losses": {
        "reconstruction": [
            {"kind": "wave", "weight": 2.0},
            {"kind": "mel", "weight": 1.0, "window_lengths": [128], "num_mels": [16]},
            {"kind": "mel", "weight": 3.0, "window_lengths": [64], "num_mels": [8]},
        ],
        "commitment": 0.5,
    },
    "training": {"num_steps": 10, "batch_size": 2, "crop_s": 0.1, "optimizer": {"learning_rate": 1e-3}},
}
ADVERSARY: Mapping[str, Any] = {
    "discriminators": [{"kind": "ms-stftd", "num_filters": 2, "window_lengths": [64, 128]}],
    "losses": {"adversarial": {"weight": 4.0, "feature_weight": 5.0}},
}


def spec_of(*changes: Mapping[str, Any]) -> NeuralCodecSpec:
    content = dict(BASE)
    for change in changes:
        content = overlaid(content, change)
    return NeuralCodecSpec.model_validate(content)


def learner_of(*changes: Mapping[str, Any]) -> CodecLearner:
    torch.manual_seed(0)
    learner = CodecLearner(spec_of(*changes))
    learner.train()
    return learner


@pytest.fixture
def batch() -> Batch:
    samples = 0.1 * torch.randn(2, 1, 1600, generator=torch.Generator().manual_seed(0))
    return Batch(samples, samples, ("", ""), ("a", "b"), (False, False))


def detached(turn: Turn) -> Turn:
    return Turn(turn.optimizer, turn.total.detach(), {name: loss.detach() for name, loss in turn.losses.items()})


def step(learner: CodecLearner, batch: Batch, number: int = 0) -> list[Turn]:
    """Make a step as the loop does, with plain gradient descent."""
    groups, turns = learner.optimizers(), []
    for turn in learner.turns(batch, Progress(number, learner.settings.num_steps)):
        learner.zero_grad()
        parameters = [each for each in groups[turn.optimizer][1] if each.requires_grad]
        torch.autograd.backward(turn.total, inputs=parameters)
        with torch.no_grad():
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.sub_(1e-3 * parameter.grad)
        turns.append(detached(turn))
    return turns


def state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_the_total_is_the_weighted_sum_of_losses_with_names_of_their_own(batch: Batch) -> None:
    (turn,) = step(learner_of(), batch)
    losses = {name: float(loss) for name, loss in turn.losses.items()}
    assert set(losses) == {"wave", "mel", "mel-2", "commitment"}
    expected = 2 * losses["wave"] + losses["mel"] + 3 * losses["mel-2"] + 0.5 * losses["commitment"]
    assert float(turn.total) == pytest.approx(expected, rel=1e-5)


def test_discriminators_have_their_turn_first_and_add_two_losses(batch: Batch) -> None:
    learner = learner_of(ADVERSARY)
    theirs, ours = step(learner, batch)
    assert (theirs.optimizer, set(theirs.losses)) == ("discriminators", {"discriminator"})
    assert ours.optimizer == "codec"
    losses = {name: float(loss) for name, loss in ours.losses.items()}
    weights = {"wave": 2, "mel": 1, "mel-2": 3, "commitment": 0.5, "adversarial": 4, "feature": 5}
    expected = sum(weight * losses[name] for name, weight in weights.items())
    assert float(ours.total) == pytest.approx(expected, rel=1e-5)


def test_the_codec_runs_once_for_both_turns(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = NeuralCodec.forward
    monkeypatch.setattr(NeuralCodec, "forward", lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs))
    step(learner_of(ADVERSARY), batch)
    assert calls == [1]


def test_each_turn_moves_its_own_networks_alone(batch: Batch) -> None:
    learner = learner_of(ADVERSARY)
    assert learner.adversary is not None
    turns = learner.turns(batch, Progress(0, 10))
    for own, other in ((learner.adversary, learner.codec), (learner.codec, learner.adversary)):
        turn = next(turns)
        parameters = learner.optimizers()[turn.optimizer][1]
        assert {id(each) for each in parameters} == {id(each) for each in own.parameters()}
        learner.zero_grad()
        torch.autograd.backward(turn.total, inputs=parameters)
        assert any(each.grad is not None and each.grad.any() for each in own.parameters())
        assert all(each.grad is None for each in other.parameters())


def test_discriminators_begin_when_the_spec_says(batch: Batch) -> None:
    learner = learner_of(ADVERSARY, {"training": {"adversarial_from": 0.5}})
    assert [len(step(learner, batch, number)) for number in (0, 4, 5, 9)] == [1, 1, 2, 2]


def test_discriminators_wait_for_the_rule_of_the_spec(batch: Batch) -> None:
    learner = learner_of(ADVERSARY, {"losses": {"adversarial": {"update_rule": "while-losing"}}})
    first, second = step(learner, batch, 0), step(learner, batch, 1)
    # The codec begins with losses far above the 2 of discriminators that know nothing.
    assert [turn.optimizer for turn in first] == ["discriminators", "codec"]
    assert [turn.optimizer for turn in second] == ["codec"]


def test_latents_pass_as_they_are_until_the_quantizer_is_put_in(batch: Batch) -> None:
    learner = learner_of({"training": {"quantized_from": 0.3}})
    before = state(learner.codec.quantizer)
    assert "commitment" not in step(learner, batch, 2)[0].losses
    assert not changed(before, state(learner.codec.quantizer))
    assert "dead_codes" not in learner.health()
    torch.testing.assert_close(
        learner.reconstruct(batch.samples), learner.codec(batch.samples, is_quantized=False).samples
    )
    assert "commitment" in step(learner, batch, 3)[0].losses
    assert changed(before, state(learner.codec.quantizer))


def test_encoder_and_codes_are_frozen_while_the_decoder_goes_on(batch: Batch) -> None:
    learner = learner_of({"training": {"encoder_until": 0.5}})
    step(learner, batch, 4)
    frozen = [state(learner.codec.encoder), state(learner.codec.quantizer)]
    decoder = state(learner.codec.decoder)
    step(learner, batch, 5)
    assert not changed(frozen[0], state(learner.codec.encoder))
    assert not changed(frozen[1], state(learner.codec.quantizer))
    assert changed(decoder, state(learner.codec.decoder))
    # Nothing of the way back through the encoder is kept.
    assert not learner.codec(batch.samples).latents.requires_grad
    # Whatever validation does in between.
    learner.eval()
    learner.train()
    step(learner, batch, 6)
    assert not changed(frozen[1], state(learner.codec.quantizer))
    assert "dead_codes" not in learner.health()


def test_at_the_end_the_encoder_alone_learns_of_noisy_audio(batch: Batch) -> None:
    learner = learner_of(ADVERSARY, {"training": {"encoder_until": 0.3, "denoising_from": 0.6}})
    noisy = Batch(batch.samples, batch.samples + 0.05, batch.texts, batch.speakers, batch.is_whole)
    plain, same = (
        [float(turn.total.detach()) for turn in learner.turns(audio, Progress(5, 10))] for audio in (batch, noisy)
    )
    assert plain == same
    before = {name: state(module) for name, module in learner.codec.named_children()}
    (turn,) = step(learner, noisy, 6)
    assert turn.optimizer == "codec"
    assert [name for name in before if changed(before[name], state(getattr(learner.codec, name)))] == ["encoder"]
    (of_clean,) = learner.turns(batch, Progress(7, 10))
    (of_noisy,) = learner.turns(noisy, Progress(7, 10))
    assert not torch.equal(of_clean.total, of_noisy.total)


def test_balanced_losses_reach_the_codec_beside_the_commitment(batch: Batch) -> None:
    learner = learner_of(ADVERSARY, {"losses": {"balancer": {"total_norm": 1.0}}, "quantizer": {"kind": "none"}})
    _, turn = learner.turns(batch, Progress(0, 10))
    parameters = list(learner.codec.decoder.parameters())
    gradients = torch.autograd.grad(turn.total, parameters, allow_unused=True)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in gradients) == len(parameters)
    assert set(turn.losses) == {"wave", "mel", "mel-2", "adversarial", "feature"}


def test_validation_is_of_the_same_losses_and_leaves_no_trace(batch: Batch) -> None:
    learner = learner_of(ADVERSARY)
    step(learner, batch)
    learner.eval()
    before = state(learner)
    losses = learner.validate(batch)
    assert not changed(before, state(learner))
    assert set(losses) == {"wave", "mel", "mel-2", "reconstruction", "commitment"}
    expected = 2 * losses["wave"] + losses["mel"] + 3 * losses["mel-2"]
    torch.testing.assert_close(losses["reconstruction"], expected)


def test_health_tells_of_dead_codes_and_of_the_contest(batch: Batch) -> None:
    learner = learner_of(ADVERSARY)
    step(learner, batch)
    health = learner.health()
    assert set(health) == {"dead_codes", "perplexity", "discriminator_loss", "wanted_logit", "decoded_logit"}
    assert 0 <= health["dead_codes"] < 1
    assert 1 <= health["perplexity"] <= 16


def test_what_is_written_is_a_small_codec_with_a_card_that_is_true(
    batch: Batch, corpus: Corpus, tmp_path: Path
) -> None:
    weight_normed = {"encoder": {"norm": "weight"}, "decoder": {"norm": "weight"}}
    learner = learner_of(ADVERSARY, weight_normed)
    for number in range(3):
        step(learner, batch, number)
    folder = tmp_path / "mini-codec"
    learner.export(folder, Origin(corpus, "tiny", seed=7))
    tensors = load_file(folder / "weights.safetensors")
    assert {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()} == {torch.float16}
    assert not [name for name in tensors if "parametrizations" in name or "adversary" in name or "sums" in name]
    card = read_card(folder / "card.toml")
    assert card.kind == "neural codec"
    assert list(card.settings) == ["1x16", "2x16", "4x16"]
    assert (card.default_setting, card.causal, card.latency_s) == ("4x16", True, 0.0)
    assert card.bitrate_bps["2x16"] == 2 * 4 * 16000 / 20
    assert card.num_parameters == sum(each.numel() for each in load_network(folder).parameters())
    assert (card.licence, card.trained_on) == ("CC0-1.0", ("tiny",))
    assert "seed 7" in card.notes
    assert [reference.label for reference in expand(f"{folder}:all")] == [f"mini-codec:{k}x16" for k in (1, 2, 4)]
    codec = load(one(str(folder)))
    assert isinstance(codec, Codec)
    assert codec.info.bitrate_bps == card.bitrate_bps["4x16"]
    learner.eval()
    decoded = codec.decode(codec.encode(Audio(batch.samples[0], 16000))).samples
    torch.testing.assert_close(decoded, learner.reconstruct(batch.samples[:1])[0], atol=5e-3, rtol=5e-2)


def test_continuous_latents_are_a_tokenizer_with_one_setting(batch: Batch, corpus: Corpus, tmp_path: Path) -> None:
    learner = learner_of({"quantizer": {"kind": "none"}})
    step(learner, batch)
    learner.export(tmp_path / "smooth", Origin(corpus, "tiny", seed=0))
    card = read_card(tmp_path / "smooth" / "card.toml")
    assert card.kind == "continuous tokenizer"
    assert list(card.settings) == ["8x65536"]
    assert card.bitrate_bps == {"8x65536": 8 * 16 * 800.0}


def test_half_precision_changes_less_than_one_code_in_a_hundred() -> None:
    torch.manual_seed(0)
    codec = NeuralCodec(spec_of({"quantizer": {"codebook_size": 256}}))
    # Networks that have learnt nothing say little more than their biases.
    for name, parameter in codec.encoder.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    samples = 0.1 * torch.randn(4, 1, 9600)
    with torch.no_grad():
        codec.train()(samples)  # the clusters of the first batch are the codes
        codes = codec.eval().encode(samples)
        others = codec.half().float().encode(samples)
    assert len(codes.unique()) > 200
    assert float((codes != others).float().mean()) < 0.01


def test_offered_settings_are_powers_of_two_of_whole_groups_and_all() -> None:
    grouped = spec_of({"quantizer": {"num_codebooks": 6, "num_groups": 2}, "dimension": 8})
    assert offered(grouped, 6) == (2, 4, 6)
    assert offered(spec_of({"quantizer": {"num_codebooks": 12}}), 12) == (1, 2, 4, 8, 12)
    assert offered(spec_of({"settings": [1, 3]}), 4) == (1, 3)


@pytest.mark.parametrize(
    ("changes", "samples"),
    [
        ({}, 0),
        ({"encoder": {"causal": False, "num_lstm_layers": 0}}, None),
        ({"encoder": {"causal": False, "bidirectional": True}}, float("inf")),
        ({"encoder": {"causal": False, "num_lstm_layers": 0, "norm": "time-group"}}, float("inf")),
        ({"loudness_normalized": True}, float("inf")),
    ],
    ids=["causal", "convolutions", "both-directions", "normalized", "loudness"],
)
def test_the_look_ahead_is_that_of_the_networks(changes: Mapping[str, Any], samples: float | None) -> None:
    torch.manual_seed(0)
    network = NeuralCodec(spec_of(changes)).eval()
    found = look_ahead(network)
    assert next(network.parameters()).dtype == torch.float32
    if samples is None:
        # On the right: 3 samples of the first convolution of 7; 1 of a residual unit of 3; 2 of a kernel of 8 at a
        # stride of 4; from there on in steps of 4: 1, and 2 of a kernel of 10 at a stride of 5; 3 steps of 20.
        samples = 3 + 1 + 2 + 4 * (1 + 2) + 20 * 3
    assert found == samples


def test_half_precision_of_activations_leaves_losses_whole(batch: Batch) -> None:
    learner = learner_of(ADVERSARY, {"losses": {"balancer": {}}})
    with torch.autocast("cpu", torch.bfloat16):
        turns = list(learner.turns(batch, Progress(0, 10)))
    for turn in turns:
        assert {loss.dtype for loss in (turn.total, *turn.losses.values())} == {torch.float32}
        parameters = [each for each in learner.optimizers()[turn.optimizer][1] if each.requires_grad]
        gradients = torch.autograd.grad(turn.total, parameters, allow_unused=True, retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
