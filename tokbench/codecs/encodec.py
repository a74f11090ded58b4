"""EnCodec (Défossez et al. 2022, arXiv:2210.13438), as transformers implements it: a SEANet with residual VQ.

The models for 24 and 32 kHz run over the whole signal; the one for 48 kHz, in stereo, over chunks of one second.
An LSTM between the convolutions remembers everything, so long audio goes through in pieces that hand on its state.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codecs.causal_layers import stage
from tokbench.codecs.encodec_model import embed, load_encodec, quantize, split
from tokbench.codecs.pieces import in_pieces
from tokbench.codes import StreamInfo

__all__ = ["Encodec", "StereoEncodec"]

PIECE_S = 2.0
"""Audio that goes through the convolutions at once: their outputs then stay in the processor's caches."""

SCALE_BYTES = 4
"""Bytes of a chunk's scale: a float32, big-endian, as in the publisher's files (``encodec/compress.py``)."""


class Encodec(ResidualCodec):
    """A model that runs over the whole signal, such as the published ones for 24 and for 32 kHz.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``, or with the publisher's own file. Raises
    :class:`tokbench.errors.WeightsError` for files that are no such model.
    """

    chunk_s = PIECE_S

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        self.model, num_parameters = load_encodec(weights, num_codebooks, is_chunked=False)
        self._num_codebooks = num_codebooks
        config = self.model.config
        self.info = TokenizerInfo(
            sample_rate_hz=config.sampling_rate,
            num_channels=config.audio_channels,
            streams=(StreamInfo(num_codebooks, config.codebook_size, config.sampling_rate / config.hop_length),),
            causal=config.use_causal_conv,
            num_parameters=num_parameters,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        codes = [quantize(self.model, latents, self._num_codebooks) for latents in self._latent_pieces(samples)]
        return [torch.cat(codes, dim=-1)]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        first, memory, second = split(self.model.decoder)
        pieces = in_pieces(
            streams[0][None],
            stage(first, lambda codes: first(embed(self.model, codes[0], codebooks))),
            memory,
            stage(second, steps_out=self.model.config.hop_length),
            piece_frames=self._chunk_frames,
        )
        return torch.cat([piece[0] for piece in pieces], dim=-1)

    def _latents(self, samples: Tensor) -> Tensor:
        return torch.cat([latents[0].T for latents in self._latent_pieces(samples)])

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return embed(self.model, streams[0], codebooks)[0].T

    def _latent_pieces(self, samples: Tensor) -> Iterator[Tensor]:
        """Yield the latents [1, D, F] of ``samples`` [C, T], piece by piece."""
        first, memory, second = split(self.model.encoder)
        return in_pieces(
            samples[None],
            stage(first, steps_in=self.model.config.hop_length),
            memory,
            stage(second),
            piece_frames=self._chunk_frames,
        )


class StereoEncodec(ResidualCodec):
    """A model that runs over overlapping chunks, each brought to the same loudness, such as that for 48 kHz.

    The second stream is the scale of each chunk, without which nothing can be decoded: the four bytes of a float32.
    ``weights`` and what is raised are those of :class:`Encodec`.
    """

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        self.model, num_parameters = load_encodec(weights, num_codebooks, is_chunked=True)
        self._num_codebooks = num_codebooks
        config: Any = self.model.config
        self._hop, self._stride = config.hop_length, config.chunk_stride
        self._length = config.chunk_length
        self._full_frames = -(-self._length // self._hop)
        chunk_rate_hz = config.sampling_rate / self._stride
        self.info = TokenizerInfo(
            sample_rate_hz=config.sampling_rate,
            num_channels=config.audio_channels,
            streams=(
                StreamInfo(num_codebooks, config.codebook_size, self._full_frames * chunk_rate_hz, "acoustic"),
                StreamInfo(SCALE_BYTES, 256, chunk_rate_hz, "scale"),
            ),
            causal=config.use_causal_conv,
            latency_s=config.chunk_length_s,
            num_parameters=num_parameters,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        codes, scales = [], []
        for chunk, scale in self._chunks(samples):
            codes.append(quantize(self.model, self.model.encoder(chunk), self._num_codebooks))
            scales.append(scale)
        return [torch.cat(codes, dim=-1), _to_bytes(scales).to(samples.device)]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        codes, scales = streams[0], _from_bytes(streams[1])
        num_frames = self._frames_by_chunk(codes.shape[1], len(scales))
        chunks = zip(torch.split(codes, num_frames, dim=1), scales, strict=True)
        decoded = (self.model.decoder(embed(self.model, chunk, codebooks))[0] * scale for chunk, scale in chunks)
        lengths = [frames * self._hop for frames in num_frames]
        return _overlap_add(decoded, lengths, self._stride)

    def _latents(self, samples: Tensor) -> Tensor:
        return torch.cat([self.model.encoder(chunk)[0].T for chunk, _ in self._chunks(samples)])

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return embed(self.model, streams[0], codebooks)[0].T

    def _chunks(self, samples: Tensor) -> Iterator[tuple[Tensor, float]]:
        """Yield each chunk [1, C, T] divided by its scale, the root mean square of its mono mix, and that scale."""
        for offset in range(0, samples.shape[1], self._stride):
            chunk = samples[None, :, offset : offset + self._length]
            scale = chunk.mean(dim=1).pow(2).mean().sqrt() + 1e-8
            yield chunk / scale, float(scale)

    def _frames_by_chunk(self, num_frames: int, num_chunks: int) -> list[int]:
        """Return the frames of each chunk, of which only the last two can be incomplete.

        The last is, unless nothing is left for it: then it has one frame, and the one before it lacks one, because
        the audio ends within its overlap.
        """
        last = num_frames - self._full_frames * (num_chunks - 1)
        if last > 0:
            return [self._full_frames] * (num_chunks - 1) + [last]
        return [self._full_frames] * (num_chunks - 2) + [self._full_frames - 1, 1]


def _to_bytes(scales: Sequence[float]) -> Tensor:
    """Return int64 [4, F], the bytes of each of ``scales`` as a big-endian float32."""
    return torch.from_numpy(
        np.array(scales, dtype=">f4").view(np.uint8).reshape(-1, SCALE_BYTES).T.astype(np.int64)
    )


def _from_bytes(indices: Tensor) -> list[float]:
    """Return the scales of which ``indices`` [4, F] are the bytes."""
    values = np.ascontiguousarray(indices.cpu().numpy().T.astype(np.uint8)).view(">f4")
    return [float(value) for value in values[:, 0]]


def _overlap_add(chunks: Iterator[Tensor], lengths: Sequence[int], stride: int) -> Tensor:
    """Return [C, T] of ``chunks`` [C, length], each of which starts ``stride`` samples after the one before it.

    A chunk's weight is a triangle, 0 just outside of the first chunk's length and highest in its middle; where two
    chunks overlap, each counts with its weight divided by the sum of both (``encodec/utils.py``).
    """
    peak = lengths[0] + 1
    samples = torch.empty(0)
    for index, chunk in enumerate(chunks):
        if index == 0:
            samples = chunk.new_zeros((chunk.shape[0], stride * (len(lengths) - 1) + lengths[-1]))
        start = index * stride
        stop = min(start + lengths[index], samples.shape[1])
        overlap = min(lengths[index - 1] - stride, stop - start) if index else 0
        place = samples[:, start:stop]
        rising = torch.arange(1, overlap + 1, device=chunk.device) / peak
        falling = 1 - (stride + torch.arange(1, overlap + 1, device=chunk.device)) / peak
        place[:, :overlap].lerp_(chunk[:, :overlap], rising / (rising + falling))
        place[:, overlap:] = chunk[:, overlap : stop - start]
    return samples
