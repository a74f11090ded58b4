"""Masked language modelling of the texts of a corpus.

What is trained is a folder in the format of transformers: :class:`tokbench.training.teachers.TextReader` loads it
as it loads BERT.

Axes: ``B`` batch, ``N`` tokens, ``V`` vocabulary.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM, ByT5Tokenizer

from tokbench.codecs.checkpoints import write_halves
from tokbench.paths import write_bytes
from tokbench.specs.base import write_toml
from tokbench.specs.text_encoder import TextEncoderSpec
from tokbench.specs.training import Optimizer
from tokbench.training.crops import Batch
from tokbench.training.learner import Learner, Origin, Progress, Turn

__all__ = ["TextEncoderLearner", "masked_words"]

_SPECIALS, _BYTES = 3, 256
_PAD, _MASK = 0, _SPECIALS + _BYTES
"""Tokens of ByT5 (Xue et al. 2022, arXiv:2105.13626): padding, end and unknown, the bytes, then sentinels, of which
the first stands for what is masked."""
_SPACE = _SPECIALS + ord(" ")
_HIDDEN, _DRAWN = 0.8, 0.1
"""Of the bytes that are to be guessed, those that are masked and those that are drawn (BERT, section 3.1)."""
_IGNORED = -100


class TextEncoderLearner(Learner):
    """BERT over bytes."""

    hop_length = 1

    def __init__(self, spec: TextEncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.settings, self.sample_rate_hz = spec.training, spec.sample_rate_hz
        self.tokenizer = ByT5Tokenizer()
        self.model = BertForMaskedLM(
            BertConfig(
                vocab_size=len(self.tokenizer),
                hidden_size=spec.width,
                num_hidden_layers=spec.num_layers,
                num_attention_heads=spec.num_heads,
                intermediate_size=spec.feed_forward,
                max_position_embeddings=spec.max_tokens,
                hidden_dropout_prob=spec.dropout,
                attention_probs_dropout_prob=spec.dropout,
                pad_token_id=_PAD,
            )
        )

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return the one there is."""
        return {"model": (self.settings.optimizer, list(self.model.parameters()))}

    def turns(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """Yield the model's turn."""
        del progress
        loss = self._loss(batch.texts, batch.samples.device)
        yield Turn("model", loss, {"masked": loss})

    def _loss(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Return the mean over all bytes that are to be guessed; 0 where there are none."""
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.spec.max_tokens, return_tensors="pt"
        ).to(device)
        inputs, labels = masked_words(tokens.input_ids, self.spec.masked_share)
        logits = self.model(input_ids=inputs, attention_mask=tokens.attention_mask).logits.float()
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED, reduction="sum")
        return losses / (labels != _IGNORED).sum().clamp_min(1)

    def averaged(self) -> nn.Module:
        """Return the model."""
        return self.model

    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the loss."""
        return {"masked": self._loss(batch.texts, batch.samples.device)}

    def export(self, folder: Path, origin: Origin) -> None:
        """Write the encoder in half precision, without what only guessing needs, as transformers asks for it.

        It is no tokenizer of audio, and has no card.
        """
        encoder = self.model.bert
        write_halves(folder / "model.safetensors", encoder.state_dict(), {"format": "pt"})
        config = {**self.model.config.to_dict(), "architectures": ["BertModel"], "dtype": "float16"}
        _write_json(folder / "config.json", config)
        _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "ByT5Tokenizer"})
        about = {**self.spec.model_dump(mode="json", exclude_none=True), "trained_on": origin.corpus.name}
        write_toml(folder / "spec.toml", about)


def masked_words(tokens: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return what goes in and what is to be guessed of ``tokens`` [B, N], int64 [B, N] each; -100 where nothing is.

    Each word is chosen with the probability ``share``, with the space before it.
    """
    starts = (tokens == _SPACE).cumsum(dim=1)
    chance = torch.rand(tokens.shape, device=tokens.device)
    is_byte = (tokens >= _SPECIALS) & (tokens < _MASK)
    is_chosen = (chance.gather(1, starts) < share) & is_byte
    labels = tokens.where(is_chosen, torch.full_like(tokens, _IGNORED))
    kind = torch.rand(tokens.shape, device=tokens.device)
    drawn = torch.randint(_SPECIALS, _MASK, tokens.shape, device=tokens.device)
    inputs = tokens.where(~(is_chosen & (kind < _HIDDEN)), torch.full_like(tokens, _MASK))
    return inputs.where(~(is_chosen & (kind >= _HIDDEN) & (kind < _HIDDEN + _DRAWN)), drawn), labels


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    write_bytes(path, json.dumps(values, indent=2, sort_keys=True).encode())
