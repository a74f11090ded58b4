"""Discriminators of spectrograms: MS-STFTD, MRD, AudioDec's multi-resolution one, and SoundStream's STFTD.

Sources: Défossez et al. 2022, "EnCodec", arXiv:2210.13438, sec. 3.4, and ``encodec/msstftd.py``; Kumar et al. 2023,
"DAC", arXiv:2306.06546, sec. 3.4, and ``dac/model/discriminator.py``; Jang et al. 2021, "UnivNet",
arXiv:2106.07889, sec. 2.2, as AudioDec has it (``models/vocoder/modules/discriminator.py``); Zeghidour et al. 2021,
"SoundStream", arXiv:2107.03312, sec. III-E.

Axes: ``B`` batch, ``C`` channels, ``T`` samples, ``F`` frames, ``N`` bins.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from tokbench.models.discriminators.base import (
    DiscriminatorSet,
    Judgement,
    SubDiscriminator,
    judged,
)
from tokbench.models.stft import Stft
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.discriminators import (
    ComplexStft,
    MultiBandStft,
    MultiResolutionSpectrogram,
    MultiScaleStft,
)

__all__ = [
    "BandDiscriminator",
    "MultiBandDiscriminator",
    "MultiResolutionDiscriminator",
    "MultiScaleStftDiscriminator",
    "ResidualStftDiscriminator",
    "SpectrogramDiscriminator",
    "StftDiscriminator",
]


def _complex_image(spectrum: Tensor) -> Tensor:
    """Return real and imaginary part as channels, [B, 2, F, N], of a complex ``spectrum`` [B, N, F]."""
    return torch.view_as_real(spectrum).permute(0, 3, 2, 1)


def _layers(in_channels: int, width: int, *, dilations: Sequence[int] = (1, 1, 1)) -> list[nn.Module]:
    """Return five convolutions over frames and bins: three of them halve the bins, and are dilated in time."""
    return [
        nn.Conv2d(in_channels, width, (3, 9), padding=(1, 4)),
        *(
            nn.Conv2d(width, width, (3, 9), (1, 2), padding=(dilation, 4), dilation=(dilation, 1))
            for dilation in dilations
        ),
        nn.Conv2d(width, width, (3, 3), padding=(1, 1)),
    ]


def _last(width: int) -> nn.Module:
    return weight_normalized(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))


class StftDiscriminator(SubDiscriminator):
    """One resolution of MS-STFTD. Its first layer has no weight normalization: EnCodec's has none either."""

    def __init__(self, window_length: int, spec: MultiScaleStft) -> None:
        super().__init__()
        self.stft = Stft(window_length, window_length // 4, framing="inside", normalized=True)
        first, *others = _layers(2, spec.num_filters, dilations=(1, 2, 4))
        self.layers = nn.ModuleList([first, *map(weight_normalized, others)])
        self.last = _last(spec.num_filters)
        self.slope = spec.slope
        # Padded by 1, without counting it: one of every second 4 x 4 logits.
        self.pool = nn.AvgPool2d(4, 2, 1, count_include_pad=False) if spec.pooled_logits else nn.Identity()

    def forward(self, samples: Tensor) -> Judgement:
        """Return logits [B, 1, F, N'] and features [B, C, F, N'] of ``samples`` [B, 1, T]."""
        image = _complex_image(self.stft(samples.squeeze(1)))
        logits, features = judged(self.layers, self.last, image, slope=self.slope)
        return Judgement(self.pool(logits), features)


class MultiScaleStftDiscriminator(DiscriminatorSet):
    """MS-STFTD."""

    def __init__(self, spec: MultiScaleStft) -> None:
        super().__init__(
            (StftDiscriminator(length, spec) for length in spec.window_lengths), is_conditioned=spec.conditioned
        )


class BandDiscriminator(SubDiscriminator):
    """One resolution of MRD: a complex spectrogram cut into bands, whose convolutions meet in the last layer."""

    def __init__(self, window_length: int, spec: MultiBandStft) -> None:
        super().__init__()
        self.stft = Stft(window_length, window_length // 4, framing="stretched")
        num_bins = window_length // 2 + 1
        self.bands = [slice(int(low * num_bins), int(high * num_bins)) for low, high in spec.bands]
        self.stacks = nn.ModuleList(
            weight_normalized(nn.Sequential(*_layers(2, spec.num_filters))) for _ in self.bands
        )
        self.last = _last(spec.num_filters)

    def forward(self, samples: Tensor) -> Judgement:
        """Return logits [B, 1, F, N'] and the features of band after band, [B, C, F, N'], of [B, 1, T]."""
        image = _complex_image(self.stft(samples.squeeze(1)))
        features, ends = [], []
        for band, stack in zip(self.bands, self.stacks, strict=True):
            end, seen = judged(stack.children(), nn.Identity(), image[..., band], slope=0.1)
            features += seen
            ends.append(end)
        return Judgement(self.last(torch.cat(ends, dim=-1)).float(), features)


class MultiBandDiscriminator(DiscriminatorSet):
    """MRD."""

    def __init__(self, spec: MultiBandStft) -> None:
        super().__init__(
            (BandDiscriminator(length, spec) for length in spec.window_lengths), is_conditioned=spec.conditioned
        )


class SpectrogramDiscriminator(SubDiscriminator):
    """One resolution of AudioDec's discriminator: convolutions over a magnitude spectrogram."""

    def __init__(self, num_filters: int, *, fft_size: int, window_length: int, hop_length: int) -> None:
        super().__init__()
        self.margin = window_length // 2
        self.stft = Stft(window_length, hop_length, fft_size=fft_size)
        self.layers = weight_normalized(nn.ModuleList(_layers(1, num_filters)))
        self.last = _last(num_filters)

    def forward(self, samples: Tensor) -> Judgement:
        """Return logits [B, 1, F, N'] and features [B, C, F, N'] of ``samples`` [B, 1, T]."""
        spectrum = self.stft(nn.functional.pad(samples.squeeze(1), (self.margin, self.margin)))
        # The root has no gradient at 0, which the margins are.
        magnitudes = torch.view_as_real(spectrum).square().sum(dim=-1).clamp_min(1e-12).sqrt()
        return judged(self.layers, self.last, magnitudes.transpose(1, 2)[:, None], slope=0.2)


class MultiResolutionDiscriminator(DiscriminatorSet):
    """One for each resolution."""

    def __init__(self, spec: MultiResolutionSpectrogram) -> None:
        sizes = zip(spec.fft_sizes, spec.window_lengths, spec.hop_lengths, strict=True)
        super().__init__(
            (
                SpectrogramDiscriminator(spec.num_filters, fft_size=fft_size, window_length=window, hop_length=hop)
                for fft_size, window, hop in sizes
            ),
            is_conditioned=spec.conditioned,
        )


class ResidualStftBlock(nn.Module):
    """A 3 x 3 convolution and one that halves the bins, and the frames if it is told to, beside a shortcut."""

    def __init__(self, width: int, wider: int, *, time_stride: int) -> None:
        super().__init__()
        stride = (time_stride, 2)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, wider, (time_stride + 2, 4), stride, padding=1)
        self.shortcut = nn.Conv2d(width, wider, 1)
        self.time_stride = time_stride

    def forward(self, image: Tensor) -> Tensor:
        """Return [B, C', F / stride, N / 2] of ``image`` [B, C, F, N]; F divides by the stride, N by 2."""
        inner = nn.functional.leaky_relu(self.inner(image), _RESIDUAL_SLOPE)
        # Strided by hand: the weight gradient of a strided convolution of one tap, its channels last in memory, is
        # written beyond its bounds by oneDNN (PyTorch 2.11), and the process dies.
        outer: Tensor = self.outer(inner) + self.shortcut(image[:, :, :: self.time_stride, ::2])
        return outer


_RESIDUAL_SLOPE = 0.3
"""Of the activations, which the paper does not name; that of audiocraft's discriminators."""


class ResidualStftDiscriminator(SubDiscriminator):
    """STFTD: every second residual block halves the frames too, and the last layer spans all bins that are left."""

    def __init__(self, spec: ComplexStft) -> None:
        super().__init__()
        self.stft = Stft(spec.window_length, spec.window_length // 4, framing="stretched")
        self.num_bins = spec.window_length // 2
        widths = [spec.num_filters, *(spec.num_filters * multiplier for multiplier in spec.multipliers)]
        self.frame_step = 2 ** (len(spec.multipliers) // 2)
        first = nn.Conv2d(2, spec.num_filters, 7, padding=3)
        blocks = (
            ResidualStftBlock(width, wider, time_stride=1 + index % 2)
            for index, (width, wider) in enumerate(pairwise(widths))
        )
        self.layers = nn.ModuleList([first, *blocks])
        span = self.num_bins >> len(spec.multipliers)
        self.last = nn.Conv2d(widths[-1], 1, (1, span))
        weight_normalized(self)

    def forward(self, samples: Tensor) -> Judgement:
        """Return logits [B, 1, F / 8, 1] and features [B, C, F', N'] of ``samples`` [B, 1, T].

        T / hop frames are completed by zeros to a multiple of what the blocks divide them by; the bin at half the
        sample rate is left out, so that bins divide too.
        """
        image = _complex_image(self.stft(samples.squeeze(1)))[..., : self.num_bins]
        missing = -image.shape[2] % self.frame_step
        return judged(
            self.layers,
            self.last,
            nn.functional.pad(image, (0, 0, 0, missing)),
            slope=_RESIDUAL_SLOPE,
        )
