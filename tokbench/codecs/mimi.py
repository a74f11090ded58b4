"""Mimi, the codec of Moshi (Défossez et al. 2024, arXiv:2410.00037), as transformers implements it.

A causal SEANet with a causal Transformer before its quantizer and one after it. The first codebook, which is taught
by WavLM, and the others quantize the same latents side by side: a semantic stream and an acoustic one. Attention
looks back 250 steps in each of its layers, so long audio goes through in pieces that hand on keys and values.
"""

from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import MimiModel

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codecs.causal_layers import stage, streamline
from tokbench.codecs.pieces import Memory, in_pieces
from tokbench.codecs.transformers_models import CONFIG_FILE, load_pretrained
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError

__all__ = ["Mimi"]


class Mimi(ResidualCodec):
    """A model of which the first ``num_codebooks`` codebooks are used; one alone is the semantic one.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``. Raises :class:`WeightsError` for files
    that are no such model.
    """

    chunk_s = 4.0

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        self.model = load_pretrained(MimiModel, weights)
        config: Any = self.model.config
        if num_codebooks > config.num_quantizers:
            expected = f"{num_codebooks} codebooks (num_quantizers)"
            raise WeightsError(weights / CONFIG_FILE, expected=expected, found=f"{config.num_quantizers}")
        streamline(self.model)
        self._num_codebooks = num_codebooks
        self._steps = config.latent_stride
        self._hop = round(config.sampling_rate / config.frame_rate)
        semantic = min(config.num_semantic_quantizers, num_codebooks)
        counts = {"semantic": semantic, "acoustic": num_codebooks - semantic}
        self.info = TokenizerInfo(
            sample_rate_hz=config.sampling_rate,
            num_channels=config.audio_channels,
            streams=tuple(
                StreamInfo(count, config.codebook_size, config.frame_rate, name)
                for name, count in counts.items()
                if count
            ),
            causal=config.use_causal_conv,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
        )

    def to(self, device: str | torch.device) -> Self:
        """Move the model to ``device``; its codebooks are computed there again."""
        for _, quantizer in self._quantizers:
            for layer in quantizer.layers:
                layer.codebook._embed = None  # noqa: SLF001  (what the property `embed` keeps, where it was)
        return super().to(device)

    @property
    def num_separable_codebooks(self) -> int:
        """Those of both streams, the semantic one first."""
        return self._num_codebooks

    def _encode(self, samples: Tensor) -> list[Tensor]:
        quantizer: Any = self.model.quantizer
        codes = [quantizer.encode(latents, self._num_codebooks)[:, 0] for latents in self._latent_pieces(samples)]
        counts = [stream.num_codebooks for stream in self.info.streams]
        return list(torch.split(torch.cat(codes, dim=-1), counts))

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        decoder: Any = self.model.decoder
        upsample = decoder.upsample
        pieces = in_pieces(
            torch.cat(streams)[None],
            stage(upsample, lambda codes: upsample(self._embed(codes[0], codebooks)), steps_out=self._steps),
            _attention(decoder.decoder_transformer),
            stage(decoder.decoder_seanet, steps_in=self._steps, steps_out=self._hop),
            piece_frames=self._chunk_frames,
        )
        return torch.cat([piece[0] for piece in pieces], dim=-1)

    def _latents(self, samples: Tensor) -> Tensor:
        return torch.cat([latents[0].T for latents in self._latent_pieces(samples)])

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self._embed(torch.cat(streams), codebooks)[0].T

    def _latent_pieces(self, samples: Tensor) -> Iterator[Tensor]:
        """Yield the latents [1, D, F] of ``samples`` [C, T], piece by piece."""
        encoder: Any = self.model.encoder
        return in_pieces(
            samples[None],
            stage(encoder.encoder_seanet, steps_in=self._hop, steps_out=self._steps),
            _attention(encoder.encoder_transformer),
            stage(encoder.downsample, steps_in=self._steps),
            piece_frames=self._chunk_frames,
        )

    @property
    def _quantizers(self) -> list[tuple[slice, Any]]:
        """The two quantizers, each with the codebooks that are its own."""
        quantizer: Any = self.model.quantizer
        semantic = quantizer.num_semantic_quantizers
        return [
            (slice(0, semantic), quantizer.semantic_residual_vector_quantizer),
            (slice(semantic, None), quantizer.acoustic_residual_vector_quantizer),
        ]

    def _embed(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return the sum [1, D, F] of what the chosen ``codebooks`` hold for int64 ``codes`` [K, F]."""
        chosen = set(range(codes.shape[0])[codebooks])
        total = None
        for own, quantizer in self._quantizers:
            indices = range(codes.shape[0])[own]
            rows = [
                layer.decode(codes[index][None])
                for layer, index in zip(quantizer.layers, indices, strict=False)
                if index in chosen
            ]
            if rows:
                # Summed in turn, from the first, as the model does: another order would round otherwise.
                summed = reduce(torch.add, rows)
                projected = summed if quantizer.output_proj is None else quantizer.output_proj(summed)
                total = projected if total is None else total + projected
        return total if total is not None else codes.new_zeros((1, 0, codes.shape[1]), dtype=torch.float32)


def _attention(transformer: Any) -> Memory:
    """Return a Transformer whose state is the keys and values of the steps that it can look back to."""

    def attend(values: Tensor, state: Any) -> tuple[Tensor, Any]:
        output = transformer(values.transpose(1, 2), cache=state, use_cache=True)
        return output.last_hidden_state.transpose(1, 2), output.cache

    return attend
