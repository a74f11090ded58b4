"""Huffman's code by its textbook construction: an explicit tree, sorted anew at every step."""


def mean_code_length(counts: list[int]) -> float:
    """Return the mean number of bits per symbol of an optimal prefix code."""
    nodes: list[tuple[int, list[int]]] = [(count, [index]) for index, count in enumerate(counts) if count > 0]
    lengths = dict.fromkeys((index for _, (index,) in nodes), 0)
    while len(nodes) > 1:
        nodes.sort(key=lambda node: node[0])
        (first_count, first), (second_count, second), *rest = nodes
        for index in first + second:
            lengths[index] += 1
        nodes = [*rest, (first_count + second_count, first + second)]
    return sum(counts[index] * length for index, length in lengths.items()) / sum(counts)
