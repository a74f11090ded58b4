"""Semantic tokens that a codec is given beside its own."""

from typing import Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = ["Semantic"]


class Semantic(StrictModel):
    """Units of a frozen tokenizer, sent along and combined with what is quantized.

    FunCodec (arXiv:2309.07405, section 2.4): ``V_a`` is what the encoder makes of the audio, ``V_s`` the learnt
    embedding of the units.
    """

    combination: Literal["concat", "add", "residual"]
    """What is decoded: ``concat``: a convolution over ``[Q(V_a), V_s]``; ``add``: ``Q(V_a) + V_s``; ``residual``:
    ``Q(V_a - V_s) + V_s``."""
    units: tuple[str, ...] = Field(min_length=1)
    """Tokenizers of one codebook at a constant rate, in the order of preference: the first that can be loaded makes
    the units, in training and whenever the codec is used. A codec that was trained names the one."""
    num_units: int | None = Field(default=None, gt=1)
    """How many units there are; filled in by training."""
    sha256: str | None = None
    """Hash over the files of the tokenizer of the units, as its card lists them; filled in by training, so that the
    codec is never given other units than those that it was trained with."""
