"""SNAC (Siuzdak et al. 2024, arXiv:2410.14411): residual VQ of which the first codebooks speak less often.

The decoder adds noise. Here the noise of a sample follows from its place alone, so the same codes always give the
same audio, whole or in pieces; the published code draws new noise for each call.
"""

import math
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from snac import SNAC
from snac.layers import DecoderBlock, NoiseBlock
from torch import Tensor, nn

from tokbench.codecs.base import Context, Decode, ResidualCodec, TokenizerInfo, _pieces
from tokbench.codecs.checkpoints import fold_weight_norm, fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.configs import ModelConfig, read_json
from tokbench.codecs.pieces import convolutions, reach
from tokbench.codes import StreamInfo

__all__ = ["Snac"]

_CONFIG_FILE = "config.json"
_WEIGHTS_FILE = "pytorch_model.bin"

_OUTER_REACH = 3
"""Latents on each side that the convolution between latents and attention sees, of width 7."""


class Snac(ResidualCodec):
    """A SNAC with one stream per codebook, the slowest first.

    ``weights`` is a folder with ``config.json`` and ``pytorch_model.bin``. Raises :class:`WeightsError` for files
    that are no such model.
    """

    context: Context

    def __init__(self, *, weights: Path) -> None:
        config = read_json(weights / _CONFIG_FILE)
        self.model = _load(config, weights / _WEIGHTS_FILE)
        self._strides = config.integers("vq_strides")
        self._hop = math.prod(config.integers("encoder_rates"))
        # Attention is within windows of latents: pieces of long audio begin where a window does.
        self._window = config.value("attn_window_size", int) if config.raw("attn_window_size") else 1
        self._window_frames = math.lcm(self._window, self._strides[0]) // self._strides[0]
        # The last convolution of the encoder and the first of the decoder are on the other side of the attention.
        before, after = (
            _frames(samples, self._hop) for samples in reach(list(convolutions(self.model.encoder))[:-1])
        )
        around = self._whole_windows(max(reach(list(convolutions(self.model.decoder))[1:])))
        self.context = Context(
            encode_before=self._whole_windows(before),
            encode_after=self._whole_windows(after),
            decode_before=around,
            decode_after=around,
        )
        rate_hz = config.value("sampling_rate", int)
        size = config.value("codebook_size", int)
        self.info = TokenizerInfo(
            sample_rate_hz=rate_hz,
            streams=tuple(StreamInfo(1, size, rate_hz / (self._hop * stride)) for stride in self._strides),
            causal=False,
            latency_s=self._reach(after) * self._hop / rate_hz,
        )

    @property
    def num_separable_codebooks(self) -> int:
        """One of each stream."""
        return len(self._strides)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        codes: list[Tensor] = self.model.encode(samples[None])
        return codes

    def _decode_long(self, streams: list[Tensor], decode: Decode) -> Tensor:
        # As in the base class, except that every piece knows where it is in the whole, for the noise.
        before, after = self.context.decode_before, self.context.decode_after
        ratios = [self._strides[0] // stride for stride in self._strides]
        kept = []
        for piece in _pieces(streams[0].shape[1], self._chunk_frames, before=before, after=after):
            cut = [s[:, piece.start * r : piece.stop * r] for s, r in zip(streams, ratios, strict=True)]
            for module in self.model.modules():
                if isinstance(module, _PlacedNoise):
                    module.first_frame = piece.start
            kept.append(decode(cut)[:, piece.kept(self._hop_length)])
        return torch.cat(kept, dim=1)

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        num_frames = streams[0].shape[1]
        # Codes that were encoded here fill their windows; the last one of others goes on until they do.
        lacking = -num_frames % self._window_frames
        filled = [
            torch.cat([stream, stream[:, -1:].expand(-1, lacking * self._strides[0] // stride)], dim=1)
            for stream, stride in zip(streams, self._strides, strict=True)
        ]
        audio: Tensor = self.model.decoder(self._quantized(filled, codebooks).T[None])[0]
        return audio[:, : num_frames * self._hop_length]

    def _latents(self, samples: Tensor) -> Tensor:
        latents: Tensor = self.model.encoder(self.model.preprocess(samples[None]))[0].T
        return latents

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        chosen = zip(self.model.quantizer.quantizers[codebooks], streams[codebooks], strict=True)
        embedded = [
            layer.out_proj(layer.decode_code(indices))[0].repeat_interleave(layer.stride, dim=1).T
            for layer, indices in chosen
        ]
        # Summed in turn, from the first, as the model does: another order would round otherwise.
        total: Tensor = reduce(torch.add, embedded)
        return total

    def _reach(self, latents: int) -> int:
        """Return a reach of ``latents`` extended by the outer convolution and the windows that it touches."""
        return latents + _frames(_OUTER_REACH, self._window) * self._window

    def _whole_windows(self, latents: int) -> int:
        """Return that reach in frames of the slowest stream, as whole windows."""
        return _frames(self._reach(latents), self._strides[0] * self._window_frames) * self._window_frames

    @property
    def _hop_length(self) -> int:
        return self._hop * self._strides[0]

    @property
    def _chunk_frames(self) -> int:
        return _frames(super()._chunk_frames, self._window_frames) * self._window_frames


class _PlacedNoise(nn.Module):
    """Add noise, scaled by what it is added to, that is the same for the same place of the same layer."""

    def __init__(self, linear: nn.Module, *, layer: int, num_layers: int, steps_per_frame: int) -> None:
        super().__init__()
        self.linear = linear
        self.layer, self.num_layers, self.steps_per_frame = layer, num_layers, steps_per_frame
        self.first_frame = 0
        """Frame of the slowest stream at which the input begins."""

    def forward(self, inputs: Tensor) -> Tensor:
        frames = range(self.first_frame, self.first_frame + inputs.shape[2] // self.steps_per_frame)
        noise = torch.cat([self._noise(frame) for frame in frames]).to(inputs)
        scaled: Tensor = self.linear(inputs)
        return inputs + noise * scaled

    def _noise(self, frame: int) -> Tensor:
        generator = torch.Generator().manual_seed(frame * self.num_layers + self.layer)
        return torch.randn(self.steps_per_frame, generator=generator)


def _load(config: ModelConfig, file: Path) -> Any:
    model = SNAC(
        sampling_rate=config.value("sampling_rate", int),
        encoder_dim=config.value("encoder_dim", int),
        encoder_rates=list(config.integers("encoder_rates")),
        decoder_dim=config.value("decoder_dim", int),
        decoder_rates=list(config.integers("decoder_rates")),
        attn_window_size=config.raw("attn_window_size"),
        codebook_size=config.value("codebook_size", int),
        codebook_dim=config.value("codebook_dim", int),
        vq_strides=list(config.integers("vq_strides")),
        noise=config.value("noise", bool),
        depthwise=config.value("depthwise", bool),
    )
    load_strictly(fold_weight_norm(model), fold_weight_norms(read_tensors(file)), file)
    _place_noise(model)
    return model


def _place_noise(model: Any) -> None:
    """Put noise that follows from its place where the model would draw it."""
    rates = model.decoder_rates
    blocks = [layer.block for layer in model.decoder.model if isinstance(layer, DecoderBlock)]
    steps = model.vq_strides[0]
    for layer, (block, rate) in enumerate(zip(blocks, rates, strict=True)):
        steps *= rate
        for index, module in enumerate(block):
            if isinstance(module, NoiseBlock):
                block[index] = _PlacedNoise(
                    module.linear, layer=layer, num_layers=len(rates), steps_per_frame=steps
                )


def _frames(steps: int, steps_per_frame: int) -> int:
    """Return the number of frames that ``steps`` begin."""
    return -(-steps // steps_per_frame)
