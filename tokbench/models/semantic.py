"""Units of a frozen tokenizer beside the codes of a codec (FunCodec, arXiv:2309.07405, section 2.4).

Axes: ``B`` batch, ``F`` frames, ``D`` features.
"""

from torch import Tensor, cat, nn

from tokbench.specs.semantic import Semantic

__all__ = ["SemanticUnits"]

_KERNEL_SIZE = 3
"""Of the convolution over both (``ppg_cond_layer`` in FunCodec's ``codec_semantic_aug.py``)."""


class SemanticUnits(nn.Module):
    """Their embedding ``V_s``, and what is done with it on either side of the quantizer.

    The paper decodes ``concat`` as it is; here, as in its code, a convolution brings it to D features again, so
    that one decoder serves every combination. Units may be more than there are frames; the last are left out.
    """

    def __init__(self, spec: Semantic, dimension: int) -> None:
        super().__init__()
        if spec.num_units is None:
            msg = "semantic.num_units is known when the tokenizer of the units is loaded, and not before"
            raise ValueError(msg)
        self.combination = spec.combination
        self.embedding = nn.Embedding(spec.num_units, dimension)
        if spec.combination == "concat":
            self.both = nn.Conv1d(2 * dimension, dimension, _KERNEL_SIZE, padding=_KERNEL_SIZE // 2)

    def removed(self, latents: Tensor, units: Tensor | None) -> Tensor:
        """Return what is quantized, [B, D, F], of ``latents`` ``V_a`` [B, D, F] beside int64 ``units`` [B, F]."""
        return latents - self._vectors(units, latents) if self.combination == "residual" else latents

    def combined(self, quantized: Tensor, units: Tensor | None) -> Tensor:
        """Return what is decoded, [B, D, F], of what was ``quantized`` [B, D, F] and ``units`` [B, F]."""
        vectors = self._vectors(units, quantized)
        if self.combination != "concat":
            return quantized + vectors
        both: Tensor = self.both(cat([quantized, vectors], dim=1))
        return both

    def _vectors(self, units: Tensor | None, like: Tensor) -> Tensor:
        """Return ``V_s`` [B, D, F] of as many frames as ``like`` has."""
        if units is None:
            msg = "this codec is given semantic units beside the audio"
            raise ValueError(msg)
        vectors: Tensor = self.embedding(units[:, : like.shape[2]]).transpose(1, 2)
        return vectors
