"""Drawing of frames and fitting of codebooks, against scikit-learn's full k-means and analytic cases."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.cluster import KMeans

from tokbench.errors import CorpusError
from tokbench.specs.spectrogram_kmeans import KmeansScale
from tokbench.training.kmeans import fit_codebooks, reservoir, to_int8

SCALE = KmeansScale(max_frames=10000, batch_frames=1024, num_epochs=20)


def fit(frames: np.ndarray, num_codebooks: int, codebook_size: int, seed: int = 0) -> np.ndarray:
    """Return float32 centroids [K, V, D]."""
    centroids, steps = fit_codebooks(
        frames,
        num_codebooks=num_codebooks,
        codebook_size=codebook_size,
        scale=SCALE,
        seed=seed,
        on_codebook=lambda _done: None,
    )
    return centroids.astype(np.float32) * steps[:, None, None]


def residual_error(frames: np.ndarray, codebooks: np.ndarray) -> float:
    """Return the mean squared distance of ``frames`` from their greedy reconstruction, by loops."""
    total = 0.0
    for frame in frames:
        rest = frame.astype(np.float64)
        for centroids in codebooks:
            rest = rest - min(centroids, key=lambda c, rest=rest: float(((rest - c) ** 2).sum()))
        total += float((rest**2).sum())
    return total / len(frames)


def test_a_reservoir_keeps_every_row_while_there_is_room() -> None:
    blocks = [np.full((n, 2), n, np.float32) for n in (3, 1, 4)]
    np.testing.assert_array_equal(reservoir(blocks, 8, seed=0), np.concatenate(blocks))
    np.testing.assert_array_equal(reservoir(blocks, 100, seed=0), np.concatenate(blocks))


def test_a_reservoir_draws_uniformly_over_all_blocks() -> None:
    counts = np.zeros(100)
    rows = np.arange(100, dtype=np.float32)[:, None]
    for seed in range(2000):
        blocks = np.split(rows, [7, 8, 40, 41, 90])
        kept = reservoir(blocks, 10, seed=seed)[:, 0].astype(int)
        assert len(set(kept.tolist())) == 10
        counts[kept] += 1
    assert chisquare(counts).pvalue > 0.01


def test_a_reservoir_of_a_long_stream_holds_only_its_size() -> None:
    blocks = (np.full((1000, 4), index, np.float32) for index in range(500))
    kept = reservoir(blocks, 300, seed=1)
    assert kept.shape == (300, 4)
    assert np.mean(kept) == pytest.approx(249.5, abs=30)


def test_a_corpus_without_utterances_is_named() -> None:
    with pytest.raises(CorpusError, match="the corpus has no utterances to train on"):
        reservoir([], 10, seed=0)


def test_rounding_to_int8_errs_by_half_a_step_at_most(rng: np.random.Generator) -> None:
    centroids = rng.standard_normal((50, 7)).astype(np.float32)
    rounded, step = to_int8(centroids)
    assert np.abs(rounded * step - centroids).max() <= step / 2 * 1.001
    assert np.abs(rounded).max() == 127
    np.testing.assert_array_equal(to_int8(np.zeros((2, 2), np.float32))[0], 0)


def test_points_that_are_as_many_as_centroids_are_found(rng: np.random.Generator) -> None:
    points = 10 * rng.standard_normal((8, 5)).astype(np.float32)
    frames = np.repeat(points, 50, axis=0)
    codebooks = fit(frames, num_codebooks=2, codebook_size=8)
    # The second codebook makes up for the first one's rounding to int8.
    assert residual_error(points, codebooks[:1]) < 5 * (np.abs(points).max() / 127) ** 2
    assert residual_error(points, codebooks) < 1e-4


def test_one_codebook_is_nearly_as_good_as_full_k_means(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((3000, 6)).astype(np.float32)
    exact = KMeans(16, n_init=3, random_state=0).fit(frames)
    ours = residual_error(frames, fit(frames, num_codebooks=1, codebook_size=16))
    assert ours < 1.05 * exact.inertia_ / len(frames)


def test_each_further_codebook_lowers_the_error(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((1000, 6)).astype(np.float32)
    codebooks = fit(frames, num_codebooks=4, codebook_size=16)
    errors = [residual_error(frames[:200], codebooks[:k]) for k in range(5)]
    assert all(later < 0.9 * earlier for earlier, later in itertools.pairwise(errors))


def test_the_seed_decides_the_codebooks(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((500, 4)).astype(np.float32)
    np.testing.assert_array_equal(fit(frames, 2, 16, seed=3), fit(frames, 2, 16, seed=3))
    assert not np.array_equal(fit(frames, 2, 16, seed=3), fit(frames, 2, 16, seed=4))


def test_too_few_frames_are_named() -> None:
    with pytest.raises(CorpusError, match="16 centroids need as many frames; the corpus has 5"):
        fit(np.zeros((5, 4), np.float32), num_codebooks=1, codebook_size=16)
