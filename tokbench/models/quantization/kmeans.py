"""k-means of the frames of a batch: the first codes of a codebook.

Axes: ``N`` frames, ``V`` clusters, ``D`` features.
"""

import torch
from torch import Tensor

__all__ = ["draw_frames", "kmeans", "nearest"]


def nearest(vectors: Tensor, table: Tensor) -> Tensor:
    """Return int64 [N], the row of ``table`` [V, D] nearest to each of ``vectors`` [N, D].

    |x - e|² = |x|² - 2 x·e + |e|², of which |x|² decides nothing.
    """
    return torch.addmm(table.square().sum(dim=1), vectors, table.T, alpha=-2).argmin(dim=1)


def draw_frames(frames: Tensor, number: int) -> Tensor:
    """Return ``number`` of ``frames`` [N, D] at random, distinct ones if there are as many."""
    if len(frames) >= number:
        return frames[torch.randperm(len(frames), device=frames.device)[:number]]
    return frames[torch.randint(len(frames), (number,), device=frames.device)]


def kmeans(frames: Tensor, num_clusters: int, *, num_iterations: int) -> tuple[Tensor, Tensor]:
    """Return the means [V, D] and the sizes [V] of clusters of ``frames`` [N, D], by Lloyd's iterations.

    They begin as frames at random. A cluster that loses all its frames keeps its mean; sizes are those before the
    last move of the means.
    """
    means = draw_frames(frames, num_clusters)
    sizes = frames.new_zeros(num_clusters)
    ones = frames.new_ones(len(frames))
    for _ in range(num_iterations):
        members = nearest(frames, means)
        sizes = torch.zeros_like(sizes).index_add_(0, members, ones)
        sums = torch.zeros_like(means).index_add_(0, members, frames)
        means = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], means)
    return means, sizes
