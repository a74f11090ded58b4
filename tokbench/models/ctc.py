"""A small network that writes down what features or codes say, by connectionist temporal classification.

Axes: ``B`` batch, ``F`` frames, ``D`` features, ``K`` codebooks, ``V`` codebook size, ``L`` labels.

Source: Graves, Fernández, Gomez, Schmidhuber 2006, Connectionist temporal classification. In each frame the network
gives probabilities to ``L`` labels and to a blank, which is class 0; label ``l`` is class ``l + 1``. A text is the
classes of successive frames, equal neighbours taken as one and blanks left out.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from tokbench.models.probe_heads import CodeEmbedding
from tokbench.models.recurrence import Recurrence, frames_there
from tokbench.specs.ctc import CtcRecipe

__all__ = ["CtcNetwork", "Pace", "best_path"]


class Pace:
    """How many frames of a tokenizer become one of a network: ``num_repeats`` of each, ``stride`` at a time."""

    def __init__(self, frame_rate_hz: float, min_rate_hz: float) -> None:
        self.num_repeats = max(math.ceil(min_rate_hz / frame_rate_hz), 1)
        self.stride = max(int(frame_rate_hz * self.num_repeats / min_rate_hz), 1)

    def lengths(self, num_frames: Tensor) -> Tensor:
        """Return the frames int64 [B] of the network for those of a tokenizer."""
        return (num_frames * self.num_repeats + self.stride - 1) // self.stride


class CtcNetwork(nn.Module):
    """From features [B, F, D] or codes [B, F, K] to the logits of labels and of the blank."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        recipe: CtcRecipe,
        num_labels: int,
        *,
        num_features: int,
        frame_rate_hz: float,
        codebook_size: int | None = None,
    ) -> None:
        super().__init__()
        self.pace = Pace(frame_rate_hz, recipe.min_rate_hz)
        self.embedding = (
            None if codebook_size is None else CodeEmbedding(num_features, codebook_size, recipe.embedding)
        )
        inputs = num_features if self.embedding is None else recipe.embedding
        if self.embedding is None:
            self.register_buffer("mean", torch.zeros(num_features))
            self.register_buffer("deviation", torch.ones(num_features))
        stride = self.pace.stride
        self.first = nn.Conv1d(inputs, recipe.width, 2 * stride + 1, stride=stride, padding=stride)
        self.layers: nn.ModuleList | None = None
        if recipe.head == "convolutional":
            blocks = (_Block(recipe.width, recipe.kernel, recipe.dropout) for _ in range(recipe.num_layers))
            self.layers, outputs = nn.ModuleList(blocks), recipe.width
        else:
            self.recurrence = Recurrence(
                recipe.width, recipe.width, num_layers=recipe.num_layers, dropout=recipe.dropout
            )
            outputs = self.recurrence.num_outputs
        self.norm = nn.LayerNorm(outputs)
        self.dropout = nn.Dropout(recipe.dropout)
        self.logits = nn.Linear(outputs, num_labels + 1)

    def forward(self, values: Tensor, lengths: Tensor, *, is_hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits [B, F', L + 1] and their frames int64 [B].

        Item ``b`` of ``values`` has the first ``lengths[b]`` frames; what follows after them changes nothing.
        ``is_hidden``, bool [B, F], tells frames that are not to be heard.
        """
        features = (values - self.mean) / self.deviation if self.embedding is None else self.embedding(values)
        is_heard = frames_there(features, lengths)
        if is_hidden is not None:
            is_heard = is_heard & ~is_hidden[:, :, None]
        features = (features * is_heard).repeat_interleave(self.pace.num_repeats, dim=1)
        hidden = nn.functional.gelu(self.first(features.transpose(1, 2))).transpose(1, 2)
        lengths = self.pace.lengths(lengths)
        is_there = frames_there(hidden, lengths)
        if self.layers is None:
            hidden = self.recurrence(self.dropout(hidden), lengths)
        else:
            for layer in self.layers:
                hidden = layer(hidden * is_there)
        logits: Tensor = self.logits(self.dropout(self.norm(hidden)))
        return logits, lengths


class _Block(nn.Module):
    """What neighbouring frames add to a frame: a convolution of each value, and a hidden layer (ConvNeXt's block).

    Source: Liu et al. 2022, A ConvNet for the 2020s, arXiv:2201.03545, with twice the width in the place of four.
    """

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.neighbours = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(dropout)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return [B, F, D] of ``frames``, which are zeros where there are none."""
        around = self.neighbours(frames.transpose(1, 2)).transpose(1, 2)
        added: Tensor = self.hidden(self.norm(around))
        return frames + added


def best_path(logits: Tensor, lengths: Tensor) -> list[np.ndarray]:
    """Return the labels int64 [L'] of the likeliest class of each frame, for each item of [B, F, L + 1]."""
    classes = logits.argmax(dim=2).numpy()
    found = []
    for item, length in zip(classes, lengths.tolist(), strict=True):
        changes = np.concatenate([[True], item[1:length] != item[: length - 1]])
        kept = item[:length][changes]
        found.append(kept[kept > 0] - 1)
    return found
