"""Features of speech encoders that learnt from audio alone: HuBERT, WavLM, wav2vec 2.0, XLS-R, w2v-BERT 2.0.

Layer numbers are those of ``output_hidden_states`` in transformers and of ``output_layer`` in fairseq, and so of
the literature: layer 0 is what enters the first block, layer ``L`` is what block ``L`` puts out. A model that
normalises before its blocks (``do_stable_layer_norm``) normalises once more after the last one, which belongs to no
layer: fairseq leaves it out where a layer is asked for, as transformers 5 does (and transformers 4 did not, in the
last layer).

A network here ends with the block that is asked for: those after it would cost memory and time for nothing.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

__all__ = ["MelEncoder", "SpeechEncoder", "WaveEncoder"]

_VARIANCE_FLOOR = 1e-7
"""Added to the variance by transformers' feature extractors before the square root."""
_MEL_WINDOW_MS, _MEL_HOP_MS = 25.0, 10.0
"""Window and hop of the log-mel frames of w2v-BERT 2.0."""
_INT16_SCALE, _PRE_EMPHASIS, _POVEY_EXPONENT = 2.0**15, 0.97, 0.85
"""Kaldi's: samples are 16-bit integers, and its window is a power of Hann's."""
_MEL_MIN_HZ, _MEL_FLOOR = 20.0, torch.finfo(torch.float32).eps


class SpeechEncoder(Protocol):
    """What turns audio into frames."""

    hop_length: int
    """Samples from one frame to the next."""
    num_features: int

    def __call__(self, samples: Tensor) -> Tensor:
        """Return [F, D] of float32 ``samples`` [1, T], with one frame per ``hop_length`` begun, or one less."""


class WaveEncoder(nn.Module):
    """A model of the wav2vec 2.0 family: strided convolutions over the waveform, then blocks.

    Without padding, as it was trained, a model puts out a frame for each whole receptive field. That is one frame
    fewer than there are hops in the audio, or, of lengths just above a multiple of the hop, two. So that no frame
    is missing which the rate promises, such audio is extended by zeros until it is one; so is audio that is shorter
    than the receptive field. ``margin`` zeros at either end, which some add, move the frames by as much.

    If ``is_mean``, the features are the mean over all layers, layer 0 among them.
    """

    def __init__(self, model: nn.Module, *, normalize: bool, margin: int = 0, is_mean: bool = False) -> None:
        super().__init__()
        self.model = _without_last_norm(model)
        self.normalize = normalize
        self.margin = margin
        self.is_mean = is_mean
        config: Any = model.config
        self.num_features: int = config.hidden_size
        self.hop_length, self.receptive_field = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            self.receptive_field += (kernel - 1) * self.hop_length
            self.hop_length *= stride

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T], with ``F = max(ceil(T / hop_length) - 1, 1)`` at least."""
        return self.features(samples[None])[0]

    def features(self, samples: Tensor) -> Tensor:
        """Return [B, F, D] of ``samples`` [B, 1, T], each as it is alone."""
        return _hidden(self.model, self.inputs(samples), is_mean=self.is_mean)

    def inputs(self, samples: Tensor) -> Tensor:
        """Return what the model gets of ``samples`` [B, 1, T]: [B, T']."""
        waves = samples[:, 0]
        if self.normalize:
            variance, mean = torch.var_mean(waves, dim=1, keepdim=True, correction=0)
            waves = (waves - mean) / torch.sqrt(variance + _VARIANCE_FLOOR)
        needed = (_num_frames(waves.shape[1], self.hop_length) - 1) * self.hop_length + self.receptive_field
        waves = nn.functional.pad(waves, (self.margin, self.margin))
        return nn.functional.pad(waves, (0, max(needed - waves.shape[1], 0)))


class MelEncoder(nn.Module):
    """w2v-BERT 2.0: blocks over groups of ``stride`` normalised log-mel frames.

    The frames are those of transformers' ``SeamlessM4TFeatureExtractor``, which follows Kaldi. What is left of a
    group at the end is dropped rather than completed by padding; where that leaves fewer groups than the rate
    promises, the last one is repeated.
    """

    _window: Tensor
    _bank: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        num_mels: int = 80,
        stride: int = 2,
        sample_rate_hz: int = 16000,
        is_mean: bool = False,
    ) -> None:
        super().__init__()
        self.model = _without_last_norm(model)
        self.num_mels, self.stride, self.is_mean = num_mels, stride, is_mean
        self.window_length, self._hop = (round(ms / 1000 * sample_rate_hz) for ms in (_MEL_WINDOW_MS, _MEL_HOP_MS))
        self._fft_size = 1 << (self.window_length - 1).bit_length()
        window = torch.hann_window(self.window_length, periodic=False, dtype=torch.float64) ** _POVEY_EXPONENT
        bank = mel_filter_bank(
            num_frequency_bins=self._fft_size // 2 + 1,
            num_mel_filters=num_mels,
            min_frequency=_MEL_MIN_HZ,
            max_frequency=sample_rate_hz / 2,
            sampling_rate=sample_rate_hz,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("_window", window, persistent=False)
        self.register_buffer("_bank", torch.from_numpy(bank), persistent=False)
        config: Any = model.config
        self.num_features: int = config.hidden_size
        self.hop_length: int = self._hop * stride
        self.receptive_field = self.window_length + (stride - 1) * self._hop

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T], with ``F = max(ceil(T / hop_length) - 1, 1)`` at least."""
        return self.features(samples[None])[0]

    def features(self, samples: Tensor) -> Tensor:
        """Return [B, F, D] of ``samples`` [B, 1, T], each as it is alone."""
        return _hidden(self.model, self.inputs(samples), is_mean=self.is_mean)

    def inputs(self, samples: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return what the model gets of ``samples`` [B, 1, T]: [B, F, stride · num_mels].

        Of each, the first of ``lengths`` int64 [B] samples are audio; the others are padding, which does not count
        in the mean and the variance.
        """
        wanted = _num_frames(samples.shape[2], self.hop_length)
        # The variance of each band needs two frames.
        shortest = self.window_length + max(self.stride - 1, 1) * self._hop
        padded = nn.functional.pad(samples, (0, max(shortest - samples.shape[2], 0)))
        frames = self._log_mels(padded[:, 0], lengths)
        whole = frames[:, : frames.shape[1] // self.stride * self.stride]
        groups = whole.reshape(len(whole), -1, self.stride * whole.shape[2])
        missing = max(wanted - groups.shape[1], 0)
        return torch.cat([groups, groups[:, -1:].expand(-1, missing, -1)], dim=1)

    def _log_mels(self, waves: Tensor, lengths: Tensor | None) -> Tensor:
        """Return [B, F', num_mels] of ``waves`` [B, T], each band of each with zero mean and unit variance."""
        frames = (waves.double() * _INT16_SCALE).unfold(1, self.window_length, self._hop)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectra = torch.fft.rfft((frames - _PRE_EMPHASIS * before) * self._window, self._fft_size)
        logs = (spectra.abs().square() @ self._bank).clamp_min(_MEL_FLOOR).log()
        counted = torch.ones_like(logs[..., :1])
        if lengths is not None:
            whole = (lengths - self.window_length) // self._hop + 1
            counted[torch.arange(logs.shape[1], device=logs.device) >= whole.clamp_min(2)[:, None]] = 0
        num = counted.sum(dim=1, keepdim=True)
        mean = (logs * counted).sum(dim=1, keepdim=True) / num
        variance = ((logs - mean).square() * counted).sum(dim=1, keepdim=True) / (num - 1)
        normalised: Tensor = (logs - mean) / torch.sqrt(variance + _VARIANCE_FLOOR)
        return normalised.float()


def _hidden(model: nn.Module, inputs: Tensor, *, is_mean: bool) -> Tensor:
    """Return [B, F, D] of the last layer, or the mean over all of them."""
    output = model(inputs, output_hidden_states=is_mean)
    features: Tensor = torch.stack(output.hidden_states).mean(dim=0) if is_mean else output.last_hidden_state
    return features


def _num_frames(num_samples: int, hop_length: int) -> int:
    return max(-(-num_samples // hop_length) - 1, 1)


def _without_last_norm(model: nn.Module) -> nn.Module:
    if getattr(model.config, "do_stable_layer_norm", False):
        encoder: Any = model.get_submodule("encoder")
        encoder.layer_norm = nn.Identity()
    return model
