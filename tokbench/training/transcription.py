"""A recogniser beside a codec: what is coded must say what was said.

Cont-SPT (Li et al. 2024, arXiv:2410.17081) adds to the loss of its tokenizer that of connectionist temporal
classification (Graves et al. 2006) on what is decoded. The recogniser here is a small one that is trained with the
codec. It writes bytes of UTF-8, so that any language can be learnt from without a list of its letters.

Axes: ``B`` batch, ``T`` samples, ``F`` frames, ``D`` features.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss
from torchaudio.transforms import MelSpectrogram

from tokbench.models.neural_codec import CodecOutput
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.transcription import Transcription
from tokbench.training.crops import Batch

__all__ = ["Recognizer", "Transcriber", "to_bytes"]

_NUM_BYTES = 256
_NUM_MELS = 80
_HOPS_PER_WINDOW = 4
_FLOOR = 1e-5


class Recognizer(nn.Module):
    """A convolution and recurrent layers, from features to the logits of bytes; the last one is the blank."""

    def __init__(self, num_features: int, *, width: int, num_layers: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, num_features)
        self.convolution = nn.Conv1d(num_features, width, 5, padding=2)
        self.recurrence = nn.GRU(width, width // 2, num_layers, batch_first=True, bidirectional=True)
        self.logits = nn.Linear(width, _NUM_BYTES + 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, F, 257] of ``features`` [B, D, F]."""
        local = nn.functional.gelu(self.convolution(self.norm(features)))
        context, _ = self.recurrence(local.transpose(1, 2))
        logits: Tensor = self.logits(context)
        return logits


class Transcriber(nn.Module):
    """The loss of a recogniser of what a codec makes of a batch."""

    num_crops: Tensor
    num_texts: Tensor

    def __init__(self, spec: NeuralCodecSpec, transcription: Transcription) -> None:
        super().__init__()
        self.weight = transcription.weight
        self._mels: MelSpectrogram | None = None
        if transcription.of == "decoded":
            self._mels = MelSpectrogram(
                spec.sample_rate_hz,
                n_fft=_HOPS_PER_WINDOW * spec.hop_length,
                hop_length=spec.hop_length,
                n_mels=_NUM_MELS,
                power=1.0,
            )
            for name, window in list(self._mels.named_buffers()):
                owner = self._mels.get_submodule(name.rpartition(".")[0])
                owner.register_buffer(name.rpartition(".")[2], window, persistent=False)
        self.recognizer = Recognizer(
            spec.dimension if self._mels is None else _NUM_MELS,
            width=transcription.width,
            num_layers=transcription.num_layers,
        )
        self.register_buffer("num_crops", torch.zeros((), dtype=torch.int64))
        self.register_buffer("num_texts", torch.zeros((), dtype=torch.int64))

    def forward(self, output: CodecOutput, batch: Batch) -> Mapping[str, Tensor]:
        """Return the loss per frame, as ``transcription``; nothing where no crop has a text."""
        texts = [to_bytes(text) if whole else b"" for text, whole in zip(batch.texts, batch.is_whole, strict=True)]
        chosen = [index for index, text in enumerate(texts) if text]
        if self.training:
            self.num_crops += len(texts)
            self.num_texts += len(chosen)
        if not chosen:
            return {}
        logits = self.recognizer(self._features(output)[chosen]).float()
        targets = torch.tensor(list(b"".join(texts)), dtype=torch.int64, device=logits.device)
        lengths = torch.tensor([len(texts[index]) for index in chosen])
        loss = ctc_loss(
            logits.log_softmax(dim=2).transpose(0, 1),
            targets,
            torch.full((len(chosen),), logits.shape[1]),
            lengths,
            blank=_NUM_BYTES,
            reduction="sum",
            zero_infinity=True,  # of a text that is too long for its frames
        )
        return {"transcription": loss / (len(chosen) * logits.shape[1])}

    def _features(self, output: CodecOutput) -> Tensor:
        if self._mels is None:
            return output.latents
        mels: Tensor = self._mels(output.samples.squeeze(1).float())
        return mels.clamp_min(_FLOOR).log()

    def health(self) -> Mapping[str, float]:
        """Return the share of crops that had a text, since this was last asked."""
        shares = {"transcribed_crops": float(self.num_texts / self.num_crops.clamp_min(1))}
        self.num_crops.zero_()
        self.num_texts.zero_()
        return shares


def to_bytes(text: str) -> bytes:
    """Return the letters, digits and apostrophes of ``text`` in lower case, single spaces between words, in UTF-8.

    >>> to_bytes("  Don't -- STOP, 42!")
    b"don't stop 42"
    """
    kept = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in text.casefold())
    return " ".join(kept.split()).encode()
