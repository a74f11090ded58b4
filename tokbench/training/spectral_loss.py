"""Distances of spectrograms and mel spectrograms, as a spec declares them term by term.

Axes: ``B`` batch, ``T`` samples, ``N`` bins or mels, ``F`` frames.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from tokbench.models.stft import Stft
from tokbench.specs import losses as specs
from tokbench.training.pqmf import Pqmf

__all__ = ["Signals", "SpectralLoss", "mel_filters"]

_ALPHAS: Mapping[str, Callable[[int], float]] = {
    "1": lambda _: 1.0,
    "sqrt(s/2)": lambda window_length: math.sqrt(window_length / 2),
    "sqrt(s-1)": lambda window_length: math.sqrt(window_length - 1),
}
"""Zeghidour et al. 2021, arXiv:2107.03312, eq. 5; audiocraft, ``audiocraft/losses/specloss.py``."""


class Signals:
    """Decoded and wanted audio with the power spectra that several losses share.

    Those of the wanted audio need no gradient, and so are made apart: going back through both at once would take
    nearly twice the time.
    """

    def __init__(self, decoded: Tensor, wanted: Tensor) -> None:
        self.decoded, self.wanted = decoded, wanted
        """[B, T]"""
        self._powers: dict[object, tuple[Tensor, Tensor]] = {}
        self._bands: dict[int, Signals] = {}

    def powers(self, stft: Stft) -> tuple[Tensor, Tensor]:
        """Return the power spectra [B, N, F] of the decoded and of the wanted audio."""
        if stft.key not in self._powers:
            decoded = _power(stft(self.decoded))
            with torch.no_grad():
                self._powers[stft.key] = decoded, _power(stft(self.wanted))
        return self._powers[stft.key]

    def bands(self, pqmf: Pqmf) -> "Signals":
        """Return both in bands, which are examples like any other: [B · M, T / M]."""
        if pqmf.num_bands not in self._bands:
            decoded = pqmf(self.decoded).flatten(0, 1)
            with torch.no_grad():
                self._bands[pqmf.num_bands] = Signals(decoded, pqmf(self.wanted).flatten(0, 1))
        return self._bands[pqmf.num_bands]


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


class SpectralLoss(nn.Module):
    """All terms over all windows."""

    def __init__(self, spec: specs.Mel | specs.Stft, sample_rate_hz: int) -> None:
        super().__init__()
        self.pqmf = Pqmf(spec.num_bands) if isinstance(spec, specs.Stft) and spec.num_bands > 1 else None
        self.resolutions = nn.ModuleList(
            _Resolution(spec, index, sample_rate_hz) for index in range(len(spec.window_lengths))
        )
        totals = {
            "mean": len(spec.window_lengths),
            "sum": 1,
            "weighted-mean": sum(
                weight for window_length in spec.window_lengths for weight in _weights(spec, window_length)
            ),
        }
        self.divisor = totals[spec.over_windows]

    def forward(self, signals: Signals) -> Tensor:
        """Return a scalar."""
        heard = signals if self.pqmf is None else signals.bands(self.pqmf)
        distances: list[Tensor] = [resolution(heard) for resolution in self.resolutions]
        return torch.stack(distances).sum() / self.divisor


def _weights(spec: specs.Spectral, window_length: int) -> list[float]:
    return [term.weight * _ALPHAS[term.alpha](window_length) for term in spec.terms]


class _Resolution(nn.Module):
    """All terms at one window."""

    filters: Tensor | None

    def __init__(self, spec: specs.Mel | specs.Stft, index: int, sample_rate_hz: int) -> None:
        super().__init__()
        self.spec = spec
        window_length = spec.window_lengths[index]
        self.weights = _weights(spec, window_length)
        self.stft = Stft(
            window_length,
            spec.hop_lengths[index] if spec.hop_lengths else window_length // 4,
            fft_size=spec.fft_sizes[index] if spec.fft_sizes else window_length,
            framing=spec.framing,
            normalized=spec.normalized,
        )
        filters = None
        if isinstance(spec, specs.Mel):
            num_mels = spec.num_mels[index if len(spec.num_mels) > 1 else 0]
            filters = mel_filters(spec, num_mels, fft_size=self.stft.fft_size, sample_rate_hz=sample_rate_hz)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, signals: Signals) -> Tensor:
        """Return a scalar."""
        decoded, wanted = map(self._spectrum, signals.powers(self.stft))
        difference = _Difference(self.spec, decoded, wanted)
        distances = [
            weight * difference.distance(term) for weight, term in zip(self.weights, self.spec.terms, strict=True)
        ]
        return torch.stack(distances).sum()

    def _spectrum(self, power: Tensor) -> Tensor:
        spectrum = power
        if self.spec.power == 1:
            spectrum = _floored(power, self.spec.power_floor, self.spec.power_floor_by).sqrt()
        return spectrum if self.filters is None else self.filters @ spectrum


class _Difference:
    """Two spectra [B, N, F] under all of the norms."""

    def __init__(self, spec: specs.Spectral, decoded: Tensor, wanted: Tensor) -> None:
        self.spec, self.decoded, self.wanted = spec, decoded, wanted

    def distance(self, term: specs.Term) -> Tensor:
        """Return the scalar that ``term`` asks for, without its weight."""
        difference = self.log if term.of == "log" else self.linear
        is_summed = self.spec.over_bins == "sum"
        match term.norm:
            case "l1":
                values = difference.abs()
            case "mse":
                values = difference.square()
            case "l2":
                squares = difference.square()
                # The root has no gradient at 0, where both spectra are the same.
                values = (squares.sum(1) if is_summed else squares.mean(1)).clamp_min(1e-20).sqrt()
            case "convergence":
                wanted = self.log_of(self.wanted) if term.of == "log" else self.wanted
                convergence: Tensor = torch.linalg.norm(difference) / torch.linalg.norm(wanted)
                return convergence
        return values.sum() / len(values) if is_summed else values.mean()

    @cached_property
    def linear(self) -> Tensor:
        return self.decoded - self.wanted

    @cached_property
    def log(self) -> Tensor:
        # log a - log b = log (a / b): one logarithm for two.
        return self.log_of(self._floored(self.decoded) / self._floored(self.wanted))

    def log_of(self, values: Tensor) -> Tensor:
        return values.log10() if self.spec.log_base == "10" else values.log()

    def _floored(self, values: Tensor) -> Tensor:
        return _floored(values, self.spec.floor, self.spec.floor_by)


def _floored(values: Tensor, floor: float, floor_by: str) -> Tensor:
    return values.clamp_min(floor) if floor_by == "clamp" else values + floor


def mel_filters(spec: specs.Mel, num_mels: int, *, fft_size: int, sample_rate_hz: int) -> Tensor:
    """Return triangular filters float32 [num_mels, fft_size / 2 + 1].

    Low filters of short windows may be empty, and then stay so: published losses have them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
        filters: Tensor = melscale_fbanks(
            fft_size // 2 + 1,
            spec.min_hz,
            spec.max_hz or sample_rate_hz / 2,
            num_mels,
            sample_rate_hz,
            norm=None if spec.mel_norm == "none" else spec.mel_norm,
            mel_scale=spec.mel_scale,
        )
    return filters.T.contiguous()
