"""Cross-correlation by one dot product per delay."""

import numpy as np


def best_delay(reference: np.ndarray, degraded: np.ndarray, max_delay: int) -> tuple[int, float]:
    """Return the delay with the largest normalised correlation, and that correlation.

    Or the one with the lowest, where what it leaves unexplained is less than half as much.
    """
    norm = np.sqrt(np.sum(reference.astype(np.float64) ** 2) * np.sum(degraded.astype(np.float64) ** 2))
    found = []
    for delay in range(-max_delay, max_delay + 1):
        total = 0.0
        for t, value in enumerate(reference.tolist()):
            if 0 <= t + delay < len(degraded):
                total += value * float(degraded[t + delay])
        found.append((total / norm, delay))
    best, worst = max(found, key=lambda item: item[0]), min(found, key=lambda item: item[0])
    left = [1 - value**2 if value > 0 else 1 for value in (best[0], -worst[0])]
    correlation, delay = worst if 2 * left[1] < left[0] else best
    return delay, correlation
