"""Features of speech encoders that learnt from audio alone: HuBERT, WavLM, wav2vec 2.0, XLS-R, w2v-BERT 2.0.

Layer numbers are those of ``output_hidden_states`` in transformers and of ``output_layer`` in fairseq, and so of
the literature: layer 0 is what enters the first block, layer ``L`` is what block ``L`` puts out. A model that
normalises before its blocks (``do_stable_layer_norm``) normalises once more after the last one, which belongs to no
layer: fairseq leaves it out where a layer is asked for, as transformers 5 does (and transformers 4 did not, in the
last layer).

A network here ends with the block that is asked for: those after it would cost memory and time for nothing.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import SeamlessM4TFeatureExtractor

__all__ = ["MelEncoder", "SpeechEncoder", "WaveEncoder"]

_VARIANCE_FLOOR = 1e-7
"""Added to the variance by transformers' feature extractors before the square root."""
_MEL_WINDOW, _MEL_HOP = 400, 160
"""Window and hop of the log-mel frames of w2v-BERT 2.0, in samples."""


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
    """

    def __init__(self, model: nn.Module, *, normalize: bool, margin: int = 0) -> None:
        super().__init__()
        self.model = _without_last_norm(model)
        self.normalize = normalize
        self.margin = margin
        config: Any = model.config
        self.num_features: int = config.hidden_size
        self.hop_length, self.receptive_field = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            self.receptive_field += (kernel - 1) * self.hop_length
            self.hop_length *= stride

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T], with ``F = max(ceil(T / hop_length) - 1, 1)`` at least."""
        if self.normalize:
            variance, mean = torch.var_mean(samples, correction=0)
            samples = (samples - mean) / torch.sqrt(variance + _VARIANCE_FLOOR)
        needed = (_num_frames(samples.shape[1], self.hop_length) - 1) * self.hop_length + self.receptive_field
        samples = nn.functional.pad(samples, (self.margin, self.margin))
        samples = nn.functional.pad(samples, (0, max(needed - samples.shape[1], 0)))
        features: Tensor = self.model(samples).last_hidden_state[0]
        return features


class MelEncoder(nn.Module):
    """w2v-BERT 2.0: blocks over pairs of normalised log-mel frames.

    The frames are those of transformers' feature extractor. An odd one at the end is dropped rather than paired
    with padding; where that leaves fewer pairs than the rate promises, the last one is repeated.
    """

    def __init__(self, model: nn.Module, *, preprocessor: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = _without_last_norm(model)
        make: Any = SeamlessM4TFeatureExtractor
        self.extract = make(**preprocessor)
        config: Any = model.config
        self.num_features: int = config.hidden_size
        self.hop_length: int = _MEL_HOP * self.extract.stride

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T], with ``F = max(ceil(T / hop_length) - 1, 1)`` at least."""
        wanted = _num_frames(samples.shape[1], self.hop_length)
        # The variance of each band needs two frames.
        shortest = _MEL_WINDOW + (self.extract.stride - 1) * _MEL_HOP
        padded = nn.functional.pad(samples, (0, max(shortest - samples.shape[1], 0)))
        frames = self.extract(
            padded[0].cpu().numpy(),
            sampling_rate=self.extract.sampling_rate,
            padding=False,
            pad_to_multiple_of=None,
        )["input_features"][0]
        frames = np.pad(frames, ((0, max(wanted - len(frames), 0)), (0, 0)), mode="edge")
        inputs = torch.from_numpy(frames.astype(np.float32)).to(samples.device)
        features: Tensor = self.model(inputs[None]).last_hidden_state[0]
        return features


def _num_frames(num_samples: int, hop_length: int) -> int:
    return max(-(-num_samples // hop_length) - 1, 1)


def _without_last_norm(model: nn.Module) -> nn.Module:
    if getattr(model.config, "do_stable_layer_norm", False):
        encoder: Any = model.get_submodule("encoder")
        encoder.layer_norm = nn.Identity()
    return model
