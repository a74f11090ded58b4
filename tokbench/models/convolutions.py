"""Convolutions that keep the frame grid: a stride of S makes ceil(T / S) frames of T samples, and T·S of T frames.

They pad by reflection, as SEANet does (Tagliasacchi et al. 2020, arXiv:2009.02095; padding rules of Défossez et al.
2022, arXiv:2210.13438). Each may be followed by a normalization over channels and time. Weight normalization is a
matter of training: a network that is loaded has the product.

Axes: ``B`` batch, ``C`` channels, ``T`` time.
"""

from typing import Literal

from torch import Tensor, nn

__all__ = ["Norm", "PaddedConv1d", "TrimmedConvTranspose1d", "norm_layer", "reflect_pad"]

Norm = Literal["none", "time_group_norm"]
"""What follows a convolution: nothing, or one group over all channels and all time, which is never causal."""


def norm_layer(norm: Norm, num_channels: int) -> nn.Module:
    """Return the layer that ``norm`` names, for [B, C, …]."""
    return nn.GroupNorm(1, num_channels) if norm == "time_group_norm" else nn.Identity()


def reflect_pad(values: Tensor, left: int, right: int) -> Tensor:
    """Return [..., T] extended to [..., left + T + right] by reflection about its ends.

    A signal that is too short to be reflected is first extended by zeros, and the result is cut by as many.
    """
    zeros = max(max(left, right) - values.shape[-1] + 1, 0)
    padded = nn.functional.pad(nn.functional.pad(values, (0, zeros)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - zeros]


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
        causal: bool = False,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation)
        self.norm = norm_layer(norm, out_channels)
        self.stride = stride
        total = (kernel_size - 1) * dilation + 1 - stride
        self.right = 0 if causal else total // 2
        self.left = total - self.right

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', ceil(T / stride)] of [B, C, T]; the last, incomplete frame is completed by reflection."""
        incomplete = -values.shape[-1] % self.stride
        convolved: Tensor = self.norm(self.conv(reflect_pad(values, self.left, self.right + incomplete)))
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
        causal: bool = False,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(in_channels, out_channels, kernel_size, stride=stride)
        self.norm = norm_layer(norm, out_channels)
        total = kernel_size - stride
        self.right = total if causal else total // 2
        self.left = total - self.right

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', T · stride] of [B, C, T]."""
        # The normalization sees what is trimmed: so do the published models.
        full: Tensor = self.norm(self.conv(values))
        return full[..., self.left : full.shape[-1] - self.right]
