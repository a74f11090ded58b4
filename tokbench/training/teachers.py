"""Language models that a codec learns from, and what tells them what is said.

Both are official models, in the format of transformers, or models in the same format that tokbench trained. They
are frozen, no part of what is trained or saved, and follow the device of what they are asked about.

Axes: ``B`` batch, ``T`` samples, ``F`` frames, ``D`` features.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torchaudio.transforms import Resample
from transformers import AutoTokenizer, BertModel, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

from tokbench.codecs.card import WeightsSource
from tokbench.codecs.transformers_models import load_pretrained
from tokbench.codecs.weights import locate_weights

__all__ = ["TextReader", "Transcriber"]

_MODEL_FILES = {"config.json": "", "model.safetensors": "", "tokenizer_config.json": ""}
_PUBLISHED: Mapping[str, WeightsSource] = {
    "bert-base-uncased": WeightsSource(
        folder="bert-base-uncased",
        hub="google-bert/bert-base-uncased",
        files={**_MODEL_FILES, "vocab.txt": ""},
    ),
    "wav2vec2-base-960h": WeightsSource(
        folder="wav2vec2-base-960h",
        hub="facebook/wav2vec2-base-960h",
        files={**_MODEL_FILES, "vocab.json": "", "preprocessor_config.json": ""},
    ),
}
"""Where official models come from; a model of another name is a folder that holds it, or lies with the weights."""
_TRAINED = "`tokbench train text-encoder`"
_HEADS = ("cls.", "pooler.", "bert.pooler.", "wav2vec2.masked_spec_embed")
"""Beginnings of names of what pre-training needed, and reading does not."""


def _folder(name: str) -> Path:
    if (Path(name) / "config.json").is_file():
        return Path(name)
    return locate_weights(name, _PUBLISHED.get(name, WeightsSource(folder=name, files=_MODEL_FILES, page=_TRAINED)))


class TextReader:
    """A masked language model: the mean over all layers of what it makes of each token, the embeddings among them.

    DM-Codec (arXiv:2410.15017, section 3.1, and ``extract_rep.py`` of its code): a text is padded, or cut, to as
    many tokens as there are frames, and token ``n`` belongs to frame ``n``.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = load_pretrained(BertModel, folder, ignored=_HEADS, add_pooling_layer=False)
        self.num_features: int = self._model.config.hidden_size
        self._most_tokens: int = self._model.config.max_position_embeddings

    @classmethod
    def load(cls, name: str) -> Self:
        """Load the model ``name``.

        Raises :class:`tokbench.errors.WeightsNotFoundError` or :class:`tokbench.errors.WeightsError`.
        """
        return cls(name, _folder(name))

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], num_frames: int, device: torch.device) -> Tensor:
        """Return float32 [B, F, D] of ``texts``; F is ``num_frames``, or the most tokens that the model takes."""
        tokens = self._tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=min(num_frames, self._most_tokens),
            return_tensors="pt",
        )
        output = self._model.to(device)(**tokens.to(device), output_hidden_states=True)
        features: Tensor = torch.stack(output.hidden_states).mean(dim=0).float()
        return features


class Transcriber:
    """A wav2vec 2.0 that was trained by CTC to write, read out greedily (as DM-Codec does)."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._model: Any = load_pretrained(Wav2Vec2ForCTC, folder, ignored=_HEADS)
        self._tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(folder, local_files_only=True)
        self._extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)

    @classmethod
    def load(cls, name: str) -> Self:
        """Load the model ``name``.

        Raises :class:`tokbench.errors.WeightsNotFoundError` or :class:`tokbench.errors.WeightsError`.
        """
        return cls(name, _folder(name))

    @torch.no_grad()
    def __call__(self, samples: Tensor, sample_rate_hz: int) -> tuple[str, ...]:
        """Return what is said in each of ``samples`` [B, 1, T]."""
        own_hz = self._extractor.sampling_rate
        waves = Resample(sample_rate_hz, own_hz).to(samples.device)(samples[:, 0])
        values = self._extractor(list(waves.cpu().numpy()), sampling_rate=own_hz, return_tensors="pt").input_values
        tokens = self._model.to(samples.device)(values.to(samples.device)).logits.argmax(dim=-1)
        return tuple(self._tokenizer.batch_decode(tokens))
