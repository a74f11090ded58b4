"""Probes: what can be learnt is learnt, what follows an item changes nothing, equal seeds answer equally."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tokbench.models.probe_heads import Probe
from tokbench.specs.probe import ProbeRecipe
from tokbench.training.frozen import mean_and_deviation
from tokbench.training.probe import ProbeItems, probe_answers

HEADS = ("linear", "mlp", "lstm", "bilstm")


def blobs(seed: int, *, number: int = 120, spread: float = 1.0) -> ProbeItems:
    """Return items of three classes around three points, the frames of an item around a point of its own."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(3, 6))
    labels = generator.integers(0, 3, number)
    points = centres[labels] + spread * generator.normal(size=(number, 6))
    frames = [
        (point + 0.1 * generator.normal(size=(length, 6))).astype(np.float32)
        for point, length in zip(points, generator.integers(1, 9, number), strict=True)
    ]
    return ProbeItems(frames, labels)


def melodies(seed: int, number: int = 90) -> ProbeItems:
    """Return codes that rise, fall, or do both: the same codes in another order."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, number)
    tunes = [np.arange(6), np.arange(6)[::-1]]
    noise = generator.integers(0, 6, (number, 6))
    codes = [np.stack([tunes[label], other], axis=1) for label, other in zip(labels, noise, strict=True)]
    return ProbeItems(codes, labels, codebook_size=6)


def test_a_linear_head_is_logistic_regression() -> None:
    train, test = blobs(0, number=600), blobs(1, number=600)
    recipe = ProbeRecipe(num_seeds=1, weight_decay=0.0, max_epochs=60)
    found = probe_answers(train, blobs(2), test, recipe, 3)[0]
    means = [np.stack([item.mean(axis=0) for item in items.sequences]) for items in (train, test)]
    oracle = LogisticRegression(C=1e4, max_iter=1000).fit(means[0], train.labels).predict(means[1])
    assert np.mean(found == oracle) > 0.95
    assert 0.5 < np.mean(oracle == test.labels) < 0.95  # not so easy that anything would do


def test_only_recurrent_heads_hear_an_order() -> None:
    parts = melodies(0), melodies(1), melodies(2)
    right = {}
    for head in HEADS:
        recipe = ProbeRecipe(head=head, width=16, embedding=8, num_seeds=1, max_epochs=25, batch_size=16)
        right[head] = np.mean(probe_answers(*parts, recipe, 2)[0] == parts[2].labels)
    assert right["lstm"] > 0.95
    assert right["bilstm"] > 0.95
    assert right["linear"] < 0.75
    assert right["mlp"] < 0.75


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codebook_size", [None, 5])
def test_what_an_item_is_filled_up_with_changes_nothing(head: str, codebook_size: int | None) -> None:
    torch.manual_seed(0)
    probe = Probe(ProbeRecipe(head=head, width=8), 4, num_features=3, codebook_size=codebook_size)
    values = torch.randint(0, 5, (2, 7, 3)) if codebook_size else torch.randn(2, 7, 3)
    together = probe(values, torch.tensor([7, 4]))
    alone = probe(values[1:, :4], torch.tensor([4]))
    torch.testing.assert_close(together[1:], alone)


def test_the_scale_is_that_of_all_frames_at_once() -> None:
    generator = np.random.default_rng(0)
    sequences = [generator.normal(3, 2, (length, 5)).astype(np.float32) for length in (1, 7, 300, 2)]
    for each in sequences:
        each[:, 4] = 1.5
    frames = np.concatenate(sequences)
    mean, deviation = mean_and_deviation(sequences)
    np.testing.assert_array_equal(mean, frames.mean(axis=0, dtype=np.float64).astype(np.float32))
    np.testing.assert_array_equal(deviation[:4], frames.std(axis=0, dtype=np.float64).astype(np.float32)[:4])
    assert deviation[4] == 1


def test_codebooks_are_weighed_by_attention() -> None:
    torch.manual_seed(0)
    embedding = Probe(ProbeRecipe(embedding=4), 2, num_features=2, codebook_size=3).embedding
    assert embedding is not None
    found = embedding(torch.tensor([[[1, 2]]]))[0, 0]
    first, second = embedding.table.weight[1], embedding.table.weight[3 + 2]
    scores = torch.stack([embedding.score(first), embedding.score(second)]).exp()
    torch.testing.assert_close(found, (scores[0] * first + scores[1] * second) / scores.sum())


def test_equal_seeds_make_equal_answers_and_leave_random_numbers_alone() -> None:
    parts = blobs(0), blobs(1), blobs(2)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    recipe = ProbeRecipe(head="bilstm", width=8, max_epochs=3, learning_rates=(1e-3,))
    first = probe_answers(*parts, recipe, 3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    second = probe_answers(*parts, recipe, 3)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, 120)
    assert len({tuple(row) for row in first}) > 1  # other seeds are other heads


def test_the_rate_that_learns_is_taken() -> None:
    parts = blobs(0, spread=0.3), blobs(1, spread=0.3), blobs(2, spread=0.3)
    recipe = ProbeRecipe(num_seeds=1, max_epochs=20, learning_rates=(1e-9, 1e-1))
    assert np.mean(probe_answers(*parts, recipe, 3)[0] == parts[2].labels) > 0.9
    hopeless = recipe.model_copy(update={"learning_rates": (1e-9,)})
    assert np.mean(probe_answers(*parts, hopeless, 3)[0] == parts[2].labels) < 0.9


def test_without_a_choice_no_validation_is_needed() -> None:
    recipe = ProbeRecipe(num_seeds=1, learning_rates=(1e-2,), patience=0)
    assert not recipe.needs_validation
    assert probe_answers(blobs(0), None, blobs(1), recipe, 3).shape == (1, 120)
    with pytest.raises(ValueError, match="for validation"):
        probe_answers(blobs(0), None, blobs(1), ProbeRecipe(), 3)


def test_learning_rates_are_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        ProbeRecipe(learning_rates=(0.0,))
