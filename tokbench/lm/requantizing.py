"""From a sum of code vectors that was predicted to codes that a codec can decode.

LauraGPT (Du et al. 2023, arXiv:2310.04673, section 3.3) gives the sum to the decoder as it is. Codes near to it go
through any codec that tells what its codes stand for, and what is heard is what its decoder makes of codes.

Axes: ``K`` codebooks, ``V`` codebook size, ``F`` frames, ``D`` features.
"""

import torch
from torch import Tensor

from tokbench.codecs.base import Tokenizer
from tokbench.codes import Codes, CodeStream
from tokbench.errors import NotSupportedError

__all__ = ["code_vectors", "nearest_codes"]


def code_vectors(tokenizer: Tokenizer) -> Tensor:
    """Return float32 [K, V, D], what each code of each codebook adds to what is decoded.

    Raises :class:`NotSupportedError` for a tokenizer of several streams, or one that does not tell.
    """
    info = tokenizer.info
    if len(info.streams) != 1:
        raise NotSupportedError(info.name, "one stream of codes that add up")
    (stream,) = info.streams
    every = torch.arange(stream.codebook_size).expand(stream.num_codebooks, -1).contiguous()
    hop_length = info.sample_rate_hz / (stream.frame_rate_hz or 1.0)
    codes = Codes(
        (CodeStream(every, stream.codebook_size, stream.frame_rate_hz),),
        round(stream.codebook_size * hop_length),
        info.sample_rate_hz,
    )
    books = [tokenizer.quantized(codes, slice(book, book + 1)).values for book in range(stream.num_codebooks)]
    return torch.stack(books)


def nearest_codes(features: Tensor, vectors: Tensor) -> Tensor:
    """Return int64 [K, F]: codebook after codebook, the code that leaves least of ``features`` [F, D]."""
    left, codes = features, []
    for book in vectors:
        found = torch.cdist(left, book).argmin(dim=1)
        left = left - book[found]
        codes.append(found)
    return torch.stack(codes)
