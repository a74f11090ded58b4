"""The audio tokenizer of Pocket TTS (Kyutai 2026): a Mimi without its quantizer, 32 numbers at 12.5 Hz.

Rouard et al. 2025, arXiv:2509.06926, train such latents for language models. There are no codes, and so nothing to
decode here: the latents are what it is measured by.
"""

from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import pad
from transformers import PocketTTSAudioTokenizerModel

from tokbench.codecs.base import Context, ContinuousTokenizer, TokenizerInfo
from tokbench.codecs.pieces import causal_convolutions, reach
from tokbench.codecs.transformers_models import CONFIG_FILE, load_pretrained
from tokbench.errors import WeightsError

__all__ = ["PocketTts"]


class PocketTts(ContinuousTokenizer):
    """The encoder of a Pocket TTS audio tokenizer.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``. Raises :class:`WeightsError` for files
    that are no such model.
    """

    chunk_s = 10.0  # attention weighs every step of a piece, 200 in a second, against the others

    def __init__(self, *, weights: Path) -> None:
        self.model: Any = load_pretrained(PocketTTSAudioTokenizerModel, weights)
        config = self.model.config
        self.info = TokenizerInfo(sample_rate_hz=config.sampling_rate, streams=(), causal=config.use_causal_conv)
        encoder: Any = self.model.encoder
        if encoder is None:
            raise WeightsError(weights / CONFIG_FILE, expected="a model with an encoder", found="a decoder alone")
        # Each layer of attention sees a window of steps; those of the first layer, all that the convolutions see.
        steps, _ = reach(causal_convolutions(encoder.downsample))
        steps += config.num_hidden_layers * config.sliding_window
        samples, _ = reach(causal_convolutions(encoder.encoder_seanet))
        samples += steps * config.frame_size // config.latent_stride
        self.context = Context(encode_before=-(-samples // config.frame_size), encode_after=0)

    def _latents(self, samples: Tensor) -> Tensor:
        # The published feature extractor fills the last frame with zeros.
        whole = pad(samples, (0, -samples.shape[1] % self._hop_length))
        latents: Tensor = self.model.encode(whole[None]).latents[0]
        return latents

    @property
    def _hop_length(self) -> int:
        frame_size: int = self.model.config.frame_size
        return frame_size
