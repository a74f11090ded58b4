"""Entropy coding of codes by the model that was trained for it: as few bits as the codes surprise it.

Coding is frame by frame on both sides, in one precision and one place: a model that computes otherwise by more than
rounding takes away, decodes something else. Sums in another order (another machine, number of threads or BLAS)
change a probability by 2e-15 of itself in double precision, and 2 ** -24 is the unit to which it is rounded: one
distribution of some thirty millions comes out otherwise, where in single precision every one does. A checksum
(:mod:`tokbench.codecs.bitstream`) tells if it ever happens. The model runs on the processor, whatever the codec
runs on, because frames that wait for each other gain nothing from a GPU.

Axes: ``K`` codebooks, ``F`` frames, ``V`` codebook size.
"""

import copy
import hashlib
import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from tokbench.models.arithmetic_coder import ArithmeticDecoder, ArithmeticEncoder, cumulative_widths
from tokbench.models.code_lm import CodeLm, Past, previous_codes

__all__ = ["EntropyCoder"]

_PIECE_FRAMES = 512
"""Frames that the cross-entropy is computed for at a time."""


class EntropyCoder:
    """Codes int64 [K, F] of one stream to bytes and back, by ``model``, of which it keeps a copy."""

    def __init__(self, model: CodeLm) -> None:
        self._model = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(requires_grad=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the model's tensors: who decodes needs the same."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._model.named_parameters()) + sorted(self._model.named_buffers()):
            digest.update(name.encode() + np.ascontiguousarray(tensor.numpy()).tobytes())
        return digest.hexdigest()

    @torch.inference_mode()
    def cross_entropy_bits(self, codes: Tensor) -> float:
        """Return the bits that an ideal coder needs for ``codes``: the sum of -log2 of their probabilities."""
        past, total = self._model.begin(), 0.0
        pieces = torch.stack([codes.cpu(), previous_codes(codes.cpu())])
        for piece, previous in torch.split(pieces, _PIECE_FRAMES, dim=2):
            logs = self._model(previous[None], past)[0].log_softmax(dim=-1)
            total -= float(logs.gather(-1, piece[..., None]).sum())
        return total / math.log(2)

    @torch.inference_mode()
    def encode(self, codes: Tensor) -> bytes:
        """Return the bytes of ``codes``."""
        encoder, past = ArithmeticEncoder(), self._model.begin()
        previous = torch.full((len(codes),), -1)
        for frame in codes.cpu().unbind(dim=1):
            for widths, code in zip(self._widths(previous, past), frame.tolist(), strict=True):
                encoder.push(int(widths[code]), int(widths[code + 1]))
            previous = frame
        return encoder.finish()

    @torch.inference_mode()
    def decode(self, data: bytes, *, num_codebooks: int, num_frames: int) -> Tensor:
        """Return codes int64 [K, F]; raises :class:`tokbench.errors.BitstreamError` for bytes of another model."""
        decoder, past = ArithmeticDecoder(data), self._model.begin()
        codes = torch.empty(num_codebooks, num_frames, dtype=torch.int64)
        previous = torch.full((num_codebooks,), -1)
        for frame in codes.unbind(dim=1):
            frame.copy_(torch.tensor([decoder.pull(widths) for widths in self._widths(previous, past)]))
            previous = frame
        return codes

    def _widths(self, previous: Tensor, past: Past) -> np.ndarray:
        """Return int64 [K, V + 1], the cumulative widths of the codes that follow ``previous`` [K]."""
        probabilities: Tensor = self._model(previous[None, :, None], past)[0, :, 0].softmax(dim=-1)
        return cumulative_widths(probabilities.numpy())
