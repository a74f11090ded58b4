"""Assignments in which every code gets its equal share, and their prediction across two views.

Axes: ``N`` frames, of all processes together where there are several, ``V`` codes.
"""

import torch
from torch import Tensor

from tokbench.models.processes import sum_over_processes_

__all__ = ["equal_shares", "swapped_loss"]


@torch.no_grad()
def equal_shares(cosines: Tensor, *, epsilon: float, num_iterations: int) -> Tensor:
    """Return probabilities [N, V] of cosines [N, V], whose rows sum to 1, and columns nearly to N / V.

    Sinkhorn-Knopp: exp(``cosines`` / ``epsilon``) with its columns and its rows divided in turn by their sums
    (Cuturi 2013, arXiv:1306.0895; SwAV, Caron et al. 2020, arXiv:2006.09882, section 3.1).
    """
    # In double precision, exp(1 / 0.02) and exp(-1 / 0.02) are far from its limits: cosines need no other care.
    shares = torch.exp(cosines.double() / epsilon)
    for _ in range(num_iterations):
        shares = shares / sum_over_processes_(shares.sum(dim=0))
        shares = shares / shares.sum(dim=1, keepdim=True)
    return shares.to(cosines.dtype)


def swapped_loss(first: Tensor, second: Tensor, targets: tuple[Tensor, Tensor], *, temperature: float) -> Tensor:
    """Return the mean cross-entropy between each view's targets [N, V] and the other view's prediction.

    ``first`` and ``second`` are cosines [N, V] (Spin, Chang et al. 2023, arXiv:2305.11072, equation 3).
    """
    of_first, of_second = targets
    forward = (of_first * (second.float() / temperature).log_softmax(dim=1)).sum(dim=1).mean()
    backward = (of_second * (first.float() / temperature).log_softmax(dim=1)).sum(dim=1).mean()
    return -0.5 * (forward + backward)
