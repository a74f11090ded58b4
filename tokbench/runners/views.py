"""What a task that reads tokens looks at: features of one utterance, of all codebooks and of the first few.

Axes: ``F`` frames, ``D`` features, ``K`` codebooks.
"""

from typing import TYPE_CHECKING, Literal

from tokbench.runners.base import Bench
from tokbench.runners.single_stream import frame_codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokbench.audio import Audio, Features

__all__ = ["ALL", "CHOICE", "FeatureKind", "chosen", "depths", "view_name", "views_of"]

FeatureKind = Literal["quantized", "latents", "codes"]
"""Embeddings of the codes, what was quantized, or the codes themselves, one feature for each codebook."""
ALL = "all"
"""Name of the view of all codebooks, or of what has none."""


CHOICE = r"all|[1-9]\d*(:([1-9]\d*)?)?"
"""What :func:`chosen` reads, a regular expression."""


def chosen(codebooks: str) -> slice:
    """Return the codebooks that a task names as papers do, from 1 on and the last one included.

    >>> chosen("1"), chosen("2:"), chosen("1:4"), chosen("all")
    (slice(0, 1, None), slice(1, None, None), slice(0, 4, None), slice(None, None, None))
    """
    if codebooks == ALL:
        return slice(None)
    first, colon, last = codebooks.partition(":")
    return slice(int(first) - 1, int(last or first) if last or not colon else None)


def depths(num_codebooks: int) -> list[int]:
    """Return the numbers of codebooks that are looked at: all of them, and then 1, 2, 4 and so on.

    >>> depths(6)
    [6, 1, 2, 4]
    """
    powers = [2**power for power in range(num_codebooks.bit_length()) if 2**power < num_codebooks]
    return [num_codebooks, *powers]


def view_name(depth: int, num_codebooks: int) -> str:
    """Return how the first ``depth`` codebooks are called in records.

    >>> view_name(8, 8), view_name(1, 8), view_name(4, 8)
    ('all', 'codebook 1', 'codebooks 1-4')
    """
    if depth == num_codebooks:
        return ALL
    return "codebook 1" if depth == 1 else f"codebooks 1-{depth}"


def views_of(bench: Bench, audio: "Audio", kind: FeatureKind) -> "Iterator[tuple[str, Features]]":
    """Yield features [F, D] of ``audio`` by name: of all codebooks first, and then of the first 1, 2, 4 and so on.

    A continuous tokenizer has its latents in the place of embeddings and no codebooks; neither have ``latents``.
    Raises :class:`NotSupportedError` for codes that are not of one size at one rate, or have no embedding.
    """
    import torch  # noqa: PLC0415  (the planner knows runners without torch)

    from tokbench.audio import Features  # noqa: PLC0415
    from tokbench.codecs.base import ContinuousTokenizer  # noqa: PLC0415

    tokenizer = bench.tokenizer
    if kind == "latents" or isinstance(tokenizer, ContinuousTokenizer):
        info = tokenizer.info
        yield ALL, tokenizer.latents(audio.to_channels(info.num_channels).resample(info.sample_rate_hz))
        return
    codes = bench.encode(audio).codes
    frames = frame_codes(tokenizer.info, codes)
    num_codebooks = len(frames.indices)
    for depth in depths(num_codebooks):
        name = view_name(depth, num_codebooks)
        if kind == "codes":
            yield name, Features(torch.from_numpy(frames.indices[:depth].T).float(), frames.frame_rate_hz)
        else:
            yield name, tokenizer.quantized(codes, slice(0, depth))
