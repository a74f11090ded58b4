"""Discriminators of waveforms: at several rates (MSD), and folded by several periods (MPD).

Sources: Kong et al. 2020, "HiFi-GAN", arXiv:2010.05646, sec. 2.3 and its implementation; Kumar et al. 2019,
"MelGAN", arXiv:1910.06711, sec. 2.2, whose layers SoundStream has (Zeghidour et al. 2021, arXiv:2107.03312,
sec. III-E); DAC, ``dac/model/discriminator.py``.

Axes: ``B`` batch, ``C`` channels, ``T`` samples, ``P`` period.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from tokbench.models.convolutions import reflect_pad
from tokbench.models.discriminators.base import (
    DiscriminatorSet,
    Judgement,
    SubDiscriminator,
    judged,
)
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.discriminators import MultiPeriod, MultiScale

__all__ = ["MultiPeriodDiscriminator", "MultiScaleDiscriminator", "PeriodDiscriminator", "ScaleDiscriminator"]


class _Layer(NamedTuple):
    multiplier: int
    """Channels that come out, in multiples of the filters."""
    kernel_size: int
    stride: int = 1
    groups: int = 1


class _Form(NamedTuple):
    layers: tuple[_Layer, ...]
    slope: float
    pool_padding: int
    """On both sides of a pool over 4 samples, at every second."""
    pool_counts_padding: bool


_FORMS: Mapping[str, _Form] = {
    "hifi-gan": _Form(
        layers=(
            _Layer(1, 15),
            _Layer(1, 41, 2, 4),
            _Layer(2, 41, 2, 16),
            _Layer(4, 41, 4, 16),
            _Layer(8, 41, 4, 16),
            _Layer(8, 41, 1, 16),
            _Layer(8, 5),
        ),
        slope=0.1,
        pool_padding=2,
        pool_counts_padding=True,
    ),
    "melgan": _Form(
        layers=(
            _Layer(1, 15),
            _Layer(4, 41, 4, 4),
            _Layer(16, 41, 4, 16),
            _Layer(64, 41, 4, 64),
            _Layer(64, 41, 4, 256),
            _Layer(64, 5),
        ),
        slope=0.2,
        pool_padding=1,
        pool_counts_padding=False,
    ),
}


class ScaleDiscriminator(SubDiscriminator):
    """Strided, grouped convolutions over a waveform."""

    def __init__(self, form: str, num_filters: int, *, has_spectral_norm: bool = False) -> None:
        super().__init__()
        self.slope = _FORMS[form].slope
        width = 1
        layers: list[nn.Module] = []
        for multiplier, kernel_size, stride, groups in _FORMS[form].layers:
            wider = multiplier * num_filters
            divided = math.gcd(groups, width, wider)
            layers.append(nn.Conv1d(width, wider, kernel_size, stride, kernel_size // 2, groups=divided))
            width = wider
        layers.append(nn.Conv1d(width, 1, 3, padding=1))
        if has_spectral_norm:
            layers = [spectral_norm(layer) for layer in layers]
        *inner, self.last = layers
        self.layers = nn.ModuleList(inner)
        if not has_spectral_norm:
            weight_normalized(self)

    def forward(self, samples: Tensor) -> Judgement:
        """Return logits [B, 1, T'] and features [B, C, T'] of ``samples`` [B, 1, T]."""
        return judged(self.layers, self.last, samples, slope=self.slope)


class MultiScaleDiscriminator(DiscriminatorSet):
    """MSD: one for each of several rates, each half of the one before."""

    def __init__(self, spec: MultiScale) -> None:
        super().__init__(
            (
                ScaleDiscriminator(spec.form, spec.num_filters, has_spectral_norm=spec.spectral_norm and not scale)
                for scale in range(spec.num_scales)
            ),
            is_conditioned=spec.conditioned,
        )
        form = _FORMS[spec.form]
        self.pool = nn.AvgPool1d(4, 2, form.pool_padding, count_include_pad=form.pool_counts_padding)

    def views(self, samples: Tensor) -> Iterable[Tensor]:
        """Return ``samples`` [B, 1, T] at each rate."""
        views = [samples]
        for _ in self.members[1:]:
            views.append(self.pool(views[-1]))
        return views


class PeriodDiscriminator(SubDiscriminator):
    """Convolutions over every P-th sample, with the same weights for each of the P beginnings."""

    multipliers = (1, 4, 16, 32, 32)
    """Channels of each layer in multiples of the filters; all but the last go in steps of 3."""

    def __init__(self, period: int, num_filters: int, *, is_always_padded: bool = False) -> None:
        super().__init__()
        self.period, self.is_always_padded = period, is_always_padded
        widths = [1, *(num_filters * multiplier for multiplier in self.multipliers)]
        strides = [3] * (len(self.multipliers) - 1) + [1]
        self.layers = nn.ModuleList(
            nn.Conv2d(width, wider, (5, 1), (stride, 1), (2, 0))
            for (width, wider), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.last = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))
        weight_normalized(self)

    def forward(self, samples: Tensor) -> Judgement:
        """Return logits [B, 1, T', P] and features [B, C, T', P] of ``samples`` [B, 1, T]."""
        missing = -samples.shape[-1] % self.period
        if self.is_always_padded and not missing:
            missing = self.period
        padded = reflect_pad(samples, 0, missing)
        folded = padded.view(*padded.shape[:-1], -1, self.period)
        return judged(self.layers, self.last, folded, slope=0.1)


class MultiPeriodDiscriminator(DiscriminatorSet):
    """MPD: one for each of several periods."""

    def __init__(self, spec: MultiPeriod) -> None:
        super().__init__(
            (
                PeriodDiscriminator(period, spec.num_filters, is_always_padded=spec.always_padded)
                for period in spec.periods
            ),
            is_conditioned=spec.conditioned,
        )
