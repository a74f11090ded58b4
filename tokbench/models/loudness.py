"""Audio of one loudness: what some codecs divide by before they encode (FunCodec, EnCodec at 48 kHz).

Axes: ``T`` samples.
"""

from torch import Tensor

__all__ = ["loudness"]

_SMALLEST = 1e-8
"""Added, so that silence can be divided by it: FunCodec and EnCodec, published code."""


def loudness(samples: Tensor) -> Tensor:
    """Return [..., 1], the root mean square of ``samples`` [..., T]."""
    return _SMALLEST + samples.pow(2).mean(dim=-1, keepdim=True).sqrt()
