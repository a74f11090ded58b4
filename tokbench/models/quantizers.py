"""From the spec of a quantizer to what does it."""

from tokbench.models.quantization.base import Quantized, TrainableQuantizer
from tokbench.models.quantization.continuous import ContinuousLatents
from tokbench.models.quantization.fsq import FiniteScalar
from tokbench.models.quantization.residual import ResidualVq
from tokbench.specs.quantizers import Continuous, Fsq, Quantizer

__all__ = ["Quantized", "TrainableQuantizer", "build_quantizer"]


def build_quantizer(spec: Quantizer, dimension: int) -> TrainableQuantizer:
    """Return the quantizer that ``spec`` asks for, of latents with ``dimension`` features."""
    if isinstance(spec, Continuous):
        return ContinuousLatents(dimension, noise=spec.noise)
    return FiniteScalar(spec, dimension) if isinstance(spec, Fsq) else ResidualVq(spec, dimension)
