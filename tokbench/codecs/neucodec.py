"""NeuCodec (Neuphonic 2025, arXiv:2509.09550): an X-Codec 2 that hears at 16 kHz and speaks at 24 kHz.

A codec has one sample rate here, that of what it says; what it hears is resampled to 16 kHz first.
"""

from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import pad
from transformers import NeuCodecFeatureExtractor, NeuCodecModel, PreTrainedModel

from tokbench.audio import Audio
from tokbench.codecs.xcodec2 import Xcodec2

__all__ = ["NeuCodec"]


class NeuCodec(Xcodec2):
    """A NeuCodec; ``weights`` is a folder as for X-Codec 2."""

    network: ClassVar[type[PreTrainedModel]] = NeuCodecModel
    extractor: ClassVar[Any] = NeuCodecFeatureExtractor

    def _rates_hz(self) -> tuple[int, int]:
        return self.model.config.input_sampling_rate, self.model.config.output_sampling_rate

    def _heard(self, samples: Tensor) -> Tensor:
        heard = Audio(samples.cpu(), self.info.sample_rate_hz).resample(self._heard_at_hz).samples[0]
        whole = heard[: samples.shape[1] * self._heard_at_hz // self.info.sample_rate_hz]
        # The spectrogram of less than a frame would have no frame.
        return pad(whole, (0, max(self._heard_hop - len(whole), 0)))
