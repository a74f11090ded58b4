"""Tokenizers that tell how loud 10 ms are, so that what can be told from their codes is known."""

import torch

from tokbench.codecs.base import ContinuousTokenizer, Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo

__all__ = ["HOP", "RATE_HZ", "Level", "LevelFeatures"]

RATE_HZ, HOP = 16000, 160


def levels(samples: torch.Tensor) -> torch.Tensor:
    """Return the mean of each 10 ms in hundredths, [F, 1] of [1, T]."""
    frames = samples[0, : samples.shape[1] // HOP * HOP].reshape(-1, HOP)
    return (100 * frames.mean(dim=1)).round().clamp(0, 99)[:, None]


class Level(Tokenizer):
    """Tells it in two codebooks: by tens, and what is left of them. Their embedding is left to a test."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 10, RATE_HZ / HOP),), name="level")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        found = levels(samples)[:, 0].long()
        return [torch.stack([found // 10, found % 10])]

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        return levels(samples)


class LevelFeatures(ContinuousTokenizer):
    """The same without codes."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(), name="level-features")

    @property
    def _hop_length(self) -> int:
        return HOP

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        return levels(samples)
