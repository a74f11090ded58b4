"""What codes cost a small Transformer, with sources of which it is known what they cost."""

import math

import numpy as np
import pytest
import torch

from tokbench.metrics.economy import ngram_bits
from tokbench.specs.entropy_coding import CodePrediction
from tokbench.training import code_prediction
from tokbench.training.code_prediction import transformer_bits

SIZE, RATE_HZ = 8, 50.0
QUICK = CodePrediction(
    num_layers=1, num_heads=2, dimension=32, feedforward_dimension=64, num_steps=90, crop_frames=48, batch_size=8
)


def draw(num_utterances: int, seed: int) -> list[np.ndarray]:
    """Return [3, F]: a walk of one bit a step, what the walk was at the frame before, and noise of three bits."""
    generator, made = np.random.default_rng(seed), []
    for number in range(num_utterances):
        walk = np.cumsum(generator.choice([0, 1], 80 + 5 * number)) % SIZE
        noise = generator.integers(0, SIZE, len(walk))
        made.append(np.stack([walk, np.concatenate([[0], walk[:-1]]), noise]))
    return made


@pytest.fixture(scope="module")
def found() -> list[np.ndarray]:
    return bits(draw(12, 0), draw(4, 1))


def bits(training: list[np.ndarray], others: list[np.ndarray], recipe: CodePrediction = QUICK) -> list[np.ndarray]:
    return transformer_bits(training, others, codebook_size=SIZE, frame_rate_hz=RATE_HZ, recipe=recipe)


def test_codes_cost_what_their_source_has_and_not_less(found: list[np.ndarray]) -> None:
    walk, before, noise = np.concatenate(found, axis=1).mean(axis=1)
    assert 0.97 < walk < 1.5
    assert 0.0 < before < 0.4
    assert 2.95 < noise < 3.15


def test_what_another_codebook_tells_is_used_where_an_n_gram_cannot(found: list[np.ndarray]) -> None:
    training, others = draw(12, 0), draw(4, 1)
    rows = [[codes[1] for codes in part] for part in (training, others)]
    alone = np.concatenate(ngram_bits(rows[0], rows[1], codebook_size=SIZE, order=3)).mean()
    assert np.concatenate(found, axis=1).mean(axis=1)[1] < 0.5 * alone


def test_probabilities_of_all_codes_that_may_come_add_up() -> None:
    """The bits of each code in the place of one code, the rest as it was, are those of one distribution."""
    training, (utterance, *_) = draw(6, 0), draw(1, 1)
    short = utterance[:, :12]
    places = [np.concatenate([short[:, :11], np.full((3, 1), code)], axis=1) for code in range(SIZE)]
    last = np.stack([item[:, 11] for item in bits(training, places, QUICK.model_copy(update={"num_steps": 10}))])
    assert (2.0**-last).sum(axis=0) == pytest.approx(np.ones(3), abs=1e-6)


def test_later_codes_change_nothing_before_them() -> None:
    training, (utterance, *_) = draw(6, 0), draw(1, 1)
    changed = utterance.copy()
    changed[:, 40:] = 0
    one, other = bits(training, [utterance, changed], QUICK.model_copy(update={"num_steps": 10}))
    assert one[:, :40] == pytest.approx(other[:, :40], abs=1e-6)
    assert not np.allclose(one[:, 41:], other[:, 41:])


def test_the_same_comes_out_again_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = QUICK.model_copy(update={"num_steps": 10, "context_s": 0.4})
    training, others = draw(6, 0), draw(2, 1)
    first = bits(training, others, recipe)
    torch.rand(3)  # whatever was drawn before
    for one, other in zip(first, bits(training, others, recipe), strict=True):
        assert np.array_equal(one, other)
    monkeypatch.setattr(code_prediction, "_FRAMES_AT_ONCE", 7)
    for one, other in zip(first, bits(training, others, recipe), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_crops_pair_each_code_with_the_ones_before_it() -> None:
    kept = [torch.arange(300).expand(2, -1), torch.arange(1000, 1005).expand(2, -1)]
    lengths = torch.tensor([300.0, 5.0], dtype=torch.float64)
    torch.manual_seed(0)
    previous, targets, offset = code_prediction._drawn(kept, lengths, QUICK.model_copy(update={"batch_size": 64}))
    assert previous.shape == targets.shape == (64, 2, 48)
    is_code = targets != -100
    first = (targets == 0) | (targets == 1000)
    assert (previous[is_code & ~first] == targets[is_code & ~first] - 1).all()
    assert (previous[first] == -1).all()
    assert (previous[~is_code] == -1).all()
    assert torch.equal(targets[:, 0, 0] % 1000, offset)


def test_training_stops_when_utterances_held_out_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    real = code_prediction._mean_nats

    def counted(*arguments: object) -> float:
        looks.append(real(*arguments))  # type: ignore[arg-type]
        return looks[-1]

    monkeypatch.setattr(code_prediction, "_mean_nats", counted)
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, SIZE, (1, 40)) for _ in range(4)]
    recipe = QUICK.model_copy(
        update={"validate_every_steps": 5, "patience": 2, "num_steps": 500, "learning_rate": 1e-2}
    )
    (cost,) = bits(noise, [generator.integers(0, SIZE, (1, 400))], recipe)
    assert len(looks) < 30
    # Nothing is to be learnt of noise: the weights that are taken are about those of counted frequencies.
    assert cost.mean() == pytest.approx(math.log2(SIZE), abs=0.25)


def test_one_utterance_is_too_few() -> None:
    with pytest.raises(ValueError, match="needs two utterances to be trained on, and there are 1"):
        bits(draw(1, 0), draw(1, 1))
