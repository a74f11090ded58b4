"""Recurrent layers over items of unequal lengths, as fast as over items of equal ones.

torch's packed sequences are right for items of unequal lengths, and five times as slow on a CPU as a batch of equal
ones. Nothing that follows after the end of an item reaches it in the direction of time; in the other direction
nothing does either, once each item is turned around by itself.

Axes: ``B`` batch, ``F`` frames, ``D`` features.
"""

import torch
from torch import Tensor, nn

__all__ = ["Recurrence", "frames_there", "turned"]


class Recurrence(nn.Module):
    """LSTM layers, in one direction or in both."""

    def __init__(
        self, num_features: int, width: int, *, num_layers: int = 1, is_both: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.num_outputs = width * (1 + is_both)
        inputs = [num_features, *[self.num_outputs] * (num_layers - 1)]
        self.layers = nn.ModuleList(
            nn.ModuleList(nn.LSTM(size, width, batch_first=True) for _ in range(1 + is_both)) for size in inputs
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return [B, F, width], or twice the width, of ``features`` [B, F, D].

        Item ``b`` has the first ``lengths[b]`` frames; what comes out after them means nothing.
        """
        hidden = features
        for number, layer in enumerate(self.layers):
            given = self.dropout(hidden) if number else hidden
            directions = list(layer.children())
            found = [directions[0](given)[0]]
            found += [turned(lstm(turned(given, lengths))[0], lengths) for lstm in directions[1:]]
            hidden = torch.cat(found, dim=2)
        return hidden


def turned(features: Tensor, lengths: Tensor) -> Tensor:
    """Return ``features`` [B, F, D] with the first ``lengths[b]`` frames of each item in reverse order."""
    places = (lengths[:, None] - 1 - torch.arange(features.shape[1])).clamp_min(0)
    return features.gather(1, places[:, :, None].expand_as(features))


def frames_there(features: Tensor, lengths: Tensor) -> Tensor:
    """Return bool [B, F, 1], which frames of ``features`` [B, F, D] there are."""
    return (torch.arange(features.shape[1]) < lengths[:, None])[:, :, None]
