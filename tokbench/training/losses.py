"""Losses between what goes into a codec and what comes out of it.

Axes: ``B`` batch, ``T`` samples.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tokbench.specs.losses import Reconstruction, Wave
from tokbench.training.spectral_loss import Signals, SpectralLoss

__all__ = ["ReconstructionLosses", "WaveLoss", "distinct"]


class WaveLoss(nn.Module):
    """Distance of the samples."""

    def __init__(self, spec: Wave) -> None:
        super().__init__()
        self.norm = spec.norm

    def forward(self, signals: Signals) -> Tensor:
        """Return a scalar."""
        difference = signals.decoded - signals.wanted
        if self.norm == "l1":
            return difference.abs().mean()
        mean_square = difference.square().mean()
        # The root has no gradient at 0.
        return mean_square if self.norm == "mse" else mean_square.clamp_min(1e-20).sqrt()


class ReconstructionLosses(nn.Module):
    """All of a spec's, by name; a second one of a kind is called ``<kind>-2``."""

    weights: Mapping[str, float]

    def __init__(self, specs: Sequence[Reconstruction], sample_rate_hz: int) -> None:
        super().__init__()
        names = distinct(spec.kind for spec in specs)
        self.weights = {name: spec.weight for name, spec in zip(names, specs, strict=True)}
        self.losses = nn.ModuleDict(
            {
                name: WaveLoss(spec) if isinstance(spec, Wave) else SpectralLoss(spec, sample_rate_hz)
                for name, spec in zip(names, specs, strict=True)
            }
        )

    def forward(self, decoded: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Return each loss of ``decoded`` [B, 1, T] against ``wanted`` [B, 1, T], unweighted."""
        # Spectra are squared: half precision would not do.
        with torch.autocast(decoded.device.type, enabled=False):
            signals = Signals(decoded.squeeze(1).float(), wanted.squeeze(1).float())
            return {name: loss(signals) for name, loss in self.losses.items()}


def distinct(names: Iterable[str]) -> list[str]:
    """Return ``names`` with numbers after those that have come before.

    >>> distinct(["wave", "mel", "mel"])
    ['wave', 'mel', 'mel-2']
    """
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return numbered
