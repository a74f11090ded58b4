"""SNAC (Siuzdak et al. 2024, arXiv:2410.14411): residual VQ of which the first codebooks speak less often.

The decoder adds noise. Here the noise of a sample follows from its place alone, so the same codes always give the
same audio, whole or in pieces; the published code draws new noise for each call.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from snac import SNAC
from snac.layers import DecoderBlock, NoiseBlock
from torch import Tensor, nn

from tokbench.codecs.base import Codec, Context, TokenizerInfo, _pieces
from tokbench.codecs.checkpoints import fold_weight_norm, fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.configs import ModelConfig, read_json
from tokbench.codes import StreamInfo

__all__ = ["Snac"]

_CONFIG_FILE = "config.json"
_WEIGHTS_FILE = "pytorch_model.bin"

_KERNEL_REACH = 3
"""Steps on each side that a convolution of width 7 sees."""
_UNITS_REACH = (1 + 3 + 9) * _KERNEL_REACH
"""Likewise for the three residual units of a block, of dilations 1, 3 and 9."""


class Snac(Codec):
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
        window = config.value("attn_window_size", int, 1) if config.raw("attn_window_size") else 1
        self._window_frames = math.lcm(window, self._strides[0]) // self._strides[0]
        latents = self._strides[0] * self._window_frames
        before, after = _encoder_reach(config.integers("encoder_rates"))
        around = _decoder_reach(config.integers("decoder_rates"))
        self.context = Context(
            encode_before=_frames(_reach(before, window), latents) * self._window_frames,
            encode_after=_frames(_reach(after, window), latents) * self._window_frames,
            decode_before=_frames(_reach(around, window), latents) * self._window_frames,
            decode_after=_frames(_reach(around, window), latents) * self._window_frames,
        )
        rate_hz = config.value("sampling_rate", int)
        size = config.value("codebook_size", int)
        self.info = TokenizerInfo(
            sample_rate_hz=rate_hz,
            streams=tuple(StreamInfo(1, size, rate_hz / (self._hop * stride)) for stride in self._strides),
            causal=False,
            latency_s=_reach(after, window) * self._hop / rate_hz,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        codes: list[Tensor] = self.model.encode(samples[None])
        return codes

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return self._decode_at(streams, 0)

    def _decode_long(self, streams: list[Tensor]) -> Tensor:
        # As in the base class, except that every piece knows where it is in the whole, for the noise.
        before, after = self.context.decode_before, self.context.decode_after
        ratios = [self._strides[0] // stride for stride in self._strides]
        kept = []
        for piece in _pieces(streams[0].shape[1], self._chunk_frames, before=before, after=after):
            cut = [s[:, piece.start * r : piece.stop * r] for s, r in zip(streams, ratios, strict=True)]
            kept.append(self._decode_at(cut, piece.start)[:, piece.kept(self._hop_length)])
        return torch.cat(kept, dim=1)

    def _decode_at(self, streams: list[Tensor], first_frame: int) -> Tensor:
        for module in self.model.modules():
            if isinstance(module, _PlacedNoise):
                module.first_frame = first_frame
        audio: Tensor = self.model.decode(streams)[0]
        return audio

    def _latents(self, samples: Tensor) -> Tensor:
        latents: Tensor = self.model.encoder(self.model.preprocess(samples[None]))[0].T
        return latents

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        chosen = zip(self.model.quantizer.quantizers[codebooks], streams[codebooks], strict=True)
        embedded = [
            layer.out_proj(layer.decode_code(indices))[0].repeat_interleave(layer.stride, dim=1).T
            for layer, indices in chosen
        ]
        return torch.stack(embedded).sum(dim=0)

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


def _encoder_reach(strides: Sequence[int]) -> tuple[int, int]:
    """Return how many latents before and after its own the audio is of which a latent is made, attention apart.

    A convolution of width 2s and stride s, padded by ceil(s/2), sees ceil(s/2) samples before its step and
    floor(s/2) after it; residual units come before it, at the rate of its input.
    """
    before = after = _KERNEL_REACH
    samples_per_step = 1
    for stride in strides:
        before += (_UNITS_REACH + math.ceil(stride / 2)) * samples_per_step
        after += (_UNITS_REACH + stride // 2) * samples_per_step
        samples_per_step *= stride
    return _frames(before, samples_per_step), _frames(after, samples_per_step)


def _decoder_reach(strides: Sequence[int]) -> int:
    """Return how many latents before or after its own a sample hears, attention apart.

    A transposed convolution of width 2s and stride s hears one step of its input on each side.
    """
    samples_per_step = math.prod(strides)
    reach = _KERNEL_REACH
    for stride in strides:
        reach += samples_per_step
        samples_per_step //= stride
        reach += _UNITS_REACH * samples_per_step
    return _frames(reach, math.prod(strides))


def _reach(latents: int, window: int) -> int:
    """Return a reach of ``latents`` extended by the convolution of width 7 and the window that it can touch."""
    return latents + _KERNEL_REACH if window == 1 else latents + _frames(_KERNEL_REACH, window) * window


def _frames(steps: int, steps_per_frame: int) -> int:
    """Return the number of frames that ``steps`` begin."""
    return -(-steps // steps_per_frame)
