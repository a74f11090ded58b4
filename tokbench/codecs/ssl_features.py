"""Features of one layer of a speech encoder, left continuous.

HuBERT (Hsu et al. 2021, arXiv:2106.07447), WavLM (Chen et al. 2022, arXiv:2110.13900), wav2vec 2.0 (Baevski et al.
2020, arXiv:2006.11477), XLS-R (Babu et al. 2022, arXiv:2111.09296), w2v-BERT 2.0 (Seamless Communication 2023,
arXiv:2312.05187), as transformers implements them. Every frame attends to the whole utterance.
"""

import math
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from tokbench.codecs.base import TokenizerInfo
from tokbench.codecs.frame_features import FrameFeatures
from tokbench.codecs.speech_encoders import Layer, load_speech_encoder

__all__ = ["SslFeatures"]


class SslFeatures(FrameFeatures):
    """Hidden states of ``layer``; 0 is what enters the first block, "mean" the mean over that and all others.

    ``weights`` is the folder of the release. Raises :class:`tokbench.errors.WeightsError` for files that are no
    such model.
    """

    units_adapter: ClassVar[str] = "tokbench.codecs.ssl_units:SslUnits"

    def __init__(self, *, layer: Layer, weights: Path, normalize: bool | None = None) -> None:
        self.encoder, sample_rate_hz = load_speech_encoder(weights, layer=layer, normalize=normalize)
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(),
            causal=False,
            latency_s=math.inf,
            num_parameters=sum(parameter.numel() for parameter in self.encoder.parameters()),
        )

    def _latents(self, samples: Tensor) -> Tensor:
        features: Tensor = self.encoder(samples)
        return features
