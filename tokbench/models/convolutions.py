"""Convolutions that keep the frame grid: a stride of S makes ceil(T / S) frames of T samples, and T·S of T frames.

Their padding rules are those of SEANet (Tagliasacchi et al. 2020, arXiv:2009.02095) as EnCodec has them (Défossez
et al. 2022, arXiv:2210.13438). Each may be followed by a normalization over channels and time; weight normalization
is put on a network as a whole (:mod:`tokbench.models.weight_norm`).

Axes: ``B`` batch, ``C`` channels, ``T`` time.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from tokbench.specs.networks import Norm, Padding

__all__ = ["PaddedConv1d", "Style", "TrimmedConvTranspose1d", "norm_layer", "pad", "reflect_pad"]


@dataclass(frozen=True, kw_only=True)
class Style:
    """What the convolutions of a network have in common."""

    causal: bool = False
    """Whether nothing that is later has an influence: all of the padding is on the left."""
    padding: Padding = "reflect"
    norm: Norm = "none"
    bias: bool = True


def norm_layer(norm: Norm, num_channels: int) -> nn.Module:
    """Return the layer that follows a convolution by ``norm``, for [B, C, …]."""
    return nn.GroupNorm(1, num_channels) if norm == "time-group" else nn.Identity()


def reflect_pad(values: Tensor, left: int, right: int) -> Tensor:
    """Return [..., T] extended to [..., left + T + right] by reflection about its ends.

    A signal that is too short to be reflected is first extended by zeros, and the result is cut by as many.
    """
    zeros = max(max(left, right) - values.shape[-1] + 1, 0)
    padded = nn.functional.pad(nn.functional.pad(values, (0, zeros)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - zeros]


def pad(values: Tensor, left: int, right: int, padding: Padding) -> Tensor:
    """Return [B, C, T] extended to [B, C, left + T + right]."""
    if not left and not right:
        return values
    if padding == "reflect":
        return reflect_pad(values, left, right)
    return nn.functional.pad(values, (left, right), mode="constant" if padding == "zeros" else padding)


class PaddedConv1d(nn.Module):
    """[B, C, T] -> [B, C', ceil(T / stride)]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        style: Style = Style(),
    ) -> None:
        super().__init__()
        total = (kernel_size - 1) * dilation + 1 - stride
        self.right = 0 if style.causal else total // 2
        self.left = total - self.right
        self.stride, self.padding = stride, style.padding
        # Zeros on both sides are left to the convolution, which need not copy its input for them. Where the right
        # side needs one less, the zero too many is less than a stride, and makes no frame.
        self._is_padded_inside = style.padding == "zeros" and self.left - self.right in range(stride)
        self.conv = nn.Conv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            padding=self.left if self._is_padded_inside else 0,
            bias=style.bias,
        )
        self.norm = norm_layer(style.norm, out_channels)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', ceil(T / stride)] of [B, C, T]; an incomplete last frame is padded."""
        incomplete = -values.shape[-1] % self.stride
        left, right = (0, 0) if self._is_padded_inside else (self.left, self.right)
        convolved: Tensor = self.norm(self.conv(pad(values, left, right + incomplete, self.padding)))
        return convolved


class TrimmedConvTranspose1d(nn.Module):
    """[B, C, T] -> [B, C', T · stride]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        groups: int = 1,
        style: Style = Style(),
    ) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(
            in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=style.bias
        )
        self.norm = norm_layer(style.norm, out_channels)
        total = kernel_size - stride
        self.right = total if style.causal else total // 2
        self.left = total - self.right

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', T · stride] of [B, C, T]."""
        # The normalization sees what is trimmed: so do the published models.
        full: Tensor = self.norm(self.conv(values))
        return full[..., self.left : full.shape[-1] - self.right]
