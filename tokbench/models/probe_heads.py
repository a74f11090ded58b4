"""Small heads that say what features or codes are of.

Axes: ``B`` batch, ``F`` frames, ``D`` features, ``K`` codebooks, ``V`` codebook size.

Source: DASB (Mousavi et al. 2024, arXiv:2406.14294) for the embedding of codes, whose codebooks are weighed by
attention, and for its two kinds of heads, a recurrent and a shallow one.
"""

import torch
from torch import Tensor, nn

from tokbench.models.recurrence import Recurrence, frames_there
from tokbench.specs.probe import ProbeRecipe

__all__ = ["CodeEmbedding", "Probe"]


class CodeEmbedding(nn.Module):
    """An embedding for each code of each codebook, and attention over the codebooks of a frame."""

    def __init__(self, num_codebooks: int, codebook_size: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(num_codebooks * codebook_size, width)
        self.register_buffer("offsets", codebook_size * torch.arange(num_codebooks), persistent=False)
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    offsets: Tensor

    def forward(self, codes: Tensor) -> Tensor:
        """Return [B, F, width] of ``codes``, int64 [B, F, K]."""
        embedded = self.table(codes + self.offsets)
        weights = self.score(embedded).softmax(dim=2)
        attended: Tensor = (weights * embedded).sum(dim=2)
        return attended


class Probe(nn.Module):
    """From features [B, F, D] or codes [B, F, K] to the logits of classes."""

    def __init__(
        self, recipe: ProbeRecipe, num_classes: int, *, num_features: int, codebook_size: int | None = None
    ) -> None:
        super().__init__()
        self.embedding = (
            None if codebook_size is None else CodeEmbedding(num_features, codebook_size, recipe.embedding)
        )
        inputs = num_features if self.embedding is None else recipe.embedding
        self.head: nn.Module
        if recipe.head == "linear":
            self.head, outputs = _Mean(nn.Identity()), inputs
        elif recipe.head == "mlp":
            self.head, outputs = _Mean(nn.Sequential(nn.Linear(inputs, recipe.width), nn.ReLU())), recipe.width
        else:
            is_both = recipe.head == "bilstm"
            self.head, outputs = _Recurrent(inputs, recipe.width, is_both=is_both), recipe.width * (1 + is_both)
        self.is_pooled = recipe.head in {"linear", "mlp"}
        """Whether it looks at the mean of the frames alone."""
        self.logits = nn.Linear(outputs, num_classes)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return [B, classes] of ``values``, of which item ``b`` has the first ``lengths[b]`` frames."""
        features = values if self.embedding is None else self.embedding(values)
        logits: Tensor = self.logits(self.head(features, lengths))
        return logits


class _Mean(nn.Module):
    """The mean of the frames, and what comes after it."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.after = after

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return [B, D'] of ``features`` [B, F, D]."""
        is_there = frames_there(features, lengths)
        pooled: Tensor = self.after((features * is_there).sum(dim=1) / lengths[:, None])
        return pooled


class _Recurrent(nn.Module):
    """A recurrent network, and its last state, or attention over its states in both directions."""

    def __init__(self, inputs: int, width: int, *, is_both: bool) -> None:
        super().__init__()
        self.recurrence = Recurrence(inputs, width, is_both=is_both)
        self.score = nn.Linear(2 * width, 1) if is_both else None

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return [B, D'] of ``features`` [B, F, D]; what follows after the end of an item changes nothing."""
        states = self.recurrence(features, lengths)
        if self.score is None:
            last: Tensor = states[torch.arange(len(states)), lengths - 1]
            return last
        scores = self.score(states).masked_fill(~frames_there(states, lengths), float("-inf"))
        attended: Tensor = (scores.softmax(dim=1) * states).sum(dim=1)
        return attended
