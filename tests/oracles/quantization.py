"""Quantization in loops over lists of floats: nothing here is shared with what it checks."""

from collections.abc import Sequence

Vector = list[float]


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def nearest(vector: Sequence[float], table: Sequence[Sequence[float]]) -> int:
    distances = [distance(vector, row) for row in table]
    return distances.index(min(distances))


def sums_and_counts(frames: Sequence[Vector], members: Sequence[int], size: int) -> tuple[list[Vector], list[int]]:
    sums = [[0.0] * len(frames[0]) for _ in range(size)]
    counts = [0] * size
    for frame, member in zip(frames, members, strict=True):
        counts[member] += 1
        for axis, value in enumerate(frame):
            sums[member][axis] += value
    return sums, counts


def kmeans(frames: Sequence[Vector], first: Sequence[Vector], iterations: int) -> tuple[list[Vector], list[int]]:
    """Return means and sizes after Lloyd's iterations from the means ``first``; an empty cluster stays."""
    means = [list(mean) for mean in first]
    counts: list[int] = []
    for _ in range(iterations):
        sums, counts = sums_and_counts(frames, [nearest(frame, means) for frame in frames], len(means))
        for index, count in enumerate(counts):
            if count:
                means[index] = [value / count for value in sums[index]]
    return means, counts


def moving_average(
    counts: Sequence[float],
    sums: Sequence[Vector],
    frames: Sequence[Vector],
    members: Sequence[int],
    *,
    decay: float,
    epsilon: float = 1e-5,
) -> tuple[list[float], list[Vector], list[Vector]]:
    """Return counts, sums and codes after a batch of ``frames``, of which each went to one of the ``members``."""
    new_sums, new_counts = sums_and_counts(frames, members, len(counts))
    counts = [decay * old + (1 - decay) * new for old, new in zip(counts, new_counts, strict=True)]
    averaged = [
        [decay * old + (1 - decay) * new for old, new in zip(*rows, strict=True)]
        for rows in zip(sums, new_sums, strict=True)
    ]
    total = sum(counts)
    codes = []
    for count, row in zip(counts, averaged, strict=True):
        smoothed = (count + epsilon) / (total + len(counts) * epsilon) * total
        codes.append([value / smoothed for value in row])
    return counts, averaged, codes


def grouped_residual(
    vector: Sequence[float], tables: Sequence[Sequence[Vector]], *, num_groups: int, num_split: int = 0
) -> tuple[list[int], Vector]:
    """Return the codes of a frame, by layer and then by group, and what they add up to."""
    width = len(vector) // num_groups
    total = [0.0] * len(vector)
    codes = []
    for first, last in ((0, num_split), (num_split, len(tables))):
        rest = list(vector)
        for index in range(first, last):
            begin = (index - first) % num_groups * width
            code = nearest(rest[begin : begin + width], tables[index])
            codes.append(code)
            for axis, value in enumerate(tables[index][code]):
                rest[begin + axis] -= value
                total[begin + axis] += value
    return codes, total
