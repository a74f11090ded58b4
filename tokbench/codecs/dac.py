"""DAC (Kumar et al. 2023, arXiv:2306.06546), the Descript audio codec, as transformers implements it.

Convolutions without an LSTM, and residual VQ in a projection of 8 dimensions for each codebook, by cosine.
"""

from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.codecs.base import Context, ResidualCodec, TokenizerInfo
from tokbench.codecs.dac_model import hop_length, load_dac
from tokbench.codecs.pieces import convolutions, reach
from tokbench.codes import StreamInfo

__all__ = ["Dac"]


class Dac(ResidualCodec):
    """A model for ``sample_rate_hz`` of which the first ``num_codebooks`` codebooks are used.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``, or with the publisher's own file. Raises
    :class:`tokbench.errors.WeightsError` for files that are no such model.
    """

    chunk_s = 4.0

    def __init__(self, *, num_codebooks: int, sample_rate_hz: int, weights: Path) -> None:
        self.model, num_parameters = load_dac(weights, num_codebooks, sample_rate_hz)
        self._hop = hop_length(self.model.config)
        self._num_codebooks = num_codebooks
        # Codes are searched by cosine, so all that a table needs is its direction.
        self._directions = [nn.functional.normalize(layer.codebook.weight) for layer in self._quantizers]
        before, after = reach(convolutions(self.model.encoder))
        decode_before, decode_after = reach(convolutions(self.model.decoder))
        self.context = Context(
            encode_before=-(-before // self._hop),
            encode_after=-(-after // self._hop),
            decode_before=decode_before,
            decode_after=decode_after,
        )
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(StreamInfo(num_codebooks, self.model.config.codebook_size, sample_rate_hz / self._hop),),
            causal=False,
            num_parameters=num_parameters,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        residual = self._latents(samples).T[None]
        codes = []
        for index in range(self._num_codebooks):
            quantizer = self._quantizers[index]
            projected = quantizer.in_proj(residual)
            codes.append(self._nearest(projected, index))
            nearest = quantizer.codebook(codes[-1]).transpose(1, 2)
            # Rounded as by the straight-through estimator of the publisher's code, or later codes would differ.
            residual = residual - quantizer.out_proj(projected + (nearest - projected))
        return [torch.cat(codes)]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        audio: Tensor = self.model.decoder(self._quantized(streams, codebooks).T[None])[0]
        return audio

    def _latents(self, samples: Tensor) -> Tensor:
        complete = nn.functional.pad(samples, (0, -samples.shape[1] % self._hop))
        latents: Tensor = self.model.encoder(complete[None])[0].T
        return latents

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        chosen = list(zip(self._quantizers, streams[0], strict=False))[codebooks]
        embedded = [quantizer.out_proj(quantizer.codebook(row).T) for quantizer, row in chosen]
        # Summed in turn, from the first, as the model does: another order would round otherwise.
        total: Tensor = reduce(torch.add, embedded)
        return total.T

    @property
    def _quantizers(self) -> list[Any]:
        return list(self.model.quantizer.quantizers)

    def _nearest(self, projected: Tensor, index: int) -> Tensor:
        """Return int64 [1, F], the code of the nearest direction to each of ``projected`` [1, D, F]."""
        queries = nn.functional.normalize(projected[0].T)
        table = self._directions[index].to(queries.device)
        squares = queries.pow(2).sum(dim=1, keepdim=True), table.pow(2).sum(dim=1)
        distances = squares[0] - 2 * queries @ table.T + squares[1]
        return (-distances).max(dim=1).indices[None]
