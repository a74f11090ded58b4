"""Residual k-means: frames drawn from a corpus of any size, then one codebook after the other."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from tokbench.errors import CorpusError
from tokbench.specs.spectrogram_kmeans import KmeansScale

__all__ = ["fit_codebooks", "reservoir", "to_int8"]

_LARGEST_INT8 = 127


def reservoir(blocks: Iterable[np.ndarray], size: int, *, seed: int) -> np.ndarray:
    """Return ``size`` rows drawn uniformly from all rows of ``blocks`` [n, D], or all of them if they are fewer.

    One block is held at a time (Vitter 1985, algorithm R). Raises :class:`CorpusError` if there is no block.
    """
    generator = np.random.default_rng(seed)
    kept, num_seen = np.empty((0, 0), np.float32), 0
    for block in blocks:
        if not num_seen:  # what is never written to takes no memory
            kept = np.empty((size, block.shape[1]), block.dtype)
        first, late = block[: max(size - num_seen, 0)], block[max(size - num_seen, 0) :]
        kept[num_seen : num_seen + len(first)] = first
        # Row i of all stays with probability size / (i + 1), in the place of a row drawn among those kept.
        number = num_seen + len(first)
        places = generator.integers(0, np.arange(number + 1, number + len(late) + 1))
        stays = places < size
        kept[places[stays]] = late[stays]
        num_seen += len(block)
    if num_seen == 0:
        msg = "the corpus has no utterances to train on"
        raise CorpusError(msg)
    return kept[:num_seen]


def to_int8(centroids: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Return ``centroids`` as multiples, int8, of a step, float32."""
    step = np.float32(np.abs(centroids).max() / _LARGEST_INT8) or np.float32(1.0)
    return np.round(centroids / step).astype(np.int8), step


def fit_codebooks(
    frames: np.ndarray,
    *,
    num_codebooks: int,
    codebook_size: int,
    scale: KmeansScale,
    seed: int,
    on_codebook: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster ``frames`` float32 [N, D], then what is left over, and so on.

    Returns int8 centroids [K, V, D] and float32 steps [K]. What is left over is counted after rounding, so that a
    codebook makes up for the rounding of those before it. Raises :class:`CorpusError` for too few frames.
    """
    if len(frames) < codebook_size:
        msg = f"{codebook_size} centroids need as many frames; the corpus has {len(frames)}"
        raise CorpusError(msg)
    stages = _stages(frames, codebook_size, scale, seed)
    codebooks, steps = [], []
    for index, (rounded, step) in enumerate(itertools.islice(stages, num_codebooks)):
        codebooks.append(rounded)
        steps.append(step)
        on_codebook(index + 1)
    return np.stack(codebooks), np.array(steps, np.float32)


def _stages(
    frames: np.ndarray, codebook_size: int, scale: KmeansScale, seed: int
) -> Iterator[tuple[np.ndarray, np.float32]]:
    residual = frames.copy()
    while True:
        model = MiniBatchKMeans(
            codebook_size,
            batch_size=scale.batch_frames,
            max_iter=scale.num_epochs,
            n_init=1,
            random_state=seed,
        ).fit(residual)
        rounded, step = to_int8(model.cluster_centers_)
        yield rounded, step
        model.cluster_centers_ = rounded.astype(np.float32) * step
        residual -= model.cluster_centers_[model.predict(residual)]
