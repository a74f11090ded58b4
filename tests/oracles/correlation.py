"""Cross-correlation by one dot product per delay."""

import numpy as np


def best_delay(reference: np.ndarray, degraded: np.ndarray, max_delay: int) -> tuple[int, float]:
    """Return the delay with the largest absolute normalised correlation, and that correlation."""
    best = (0, 0.0)
    norm = np.sqrt(np.sum(reference.astype(np.float64) ** 2) * np.sum(degraded.astype(np.float64) ** 2))
    for delay in range(-max_delay, max_delay + 1):
        total = 0.0
        for t, value in enumerate(reference.tolist()):
            if 0 <= t + delay < len(degraded):
                total += value * float(degraded[t + delay])
        if abs(total / norm) > abs(best[1]):
            best = (delay, total / norm)
    return best
