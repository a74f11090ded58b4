"""Convolutions that see no later sample, padded as AudioDec pads them, and how far stacks of them reach back.

Source of the padding: the ``layers`` of AudioDec (Wu et al. 2023, arXiv:2305.16608).

Axes: ``B`` batch, ``C`` channels, ``T`` time, ``F`` frames.
"""

from collections.abc import Iterable

from torch import Tensor, nn

__all__ = ["CausalConv1d", "CausalConvTranspose1d", "downsampled_reach", "upsampled_reach"]


class CausalConv1d(nn.Conv1d):
    """[B, C, T] -> [B, C', ceil(T / stride)], with zeros before the first sample.

    Frame ``k`` ends at sample ``k · stride``, its own first one: a strided layer looks at nothing of its frame but
    the beginning.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the name that PyTorch gives it)
        """Return the convolution of ``input``."""
        span = (self.kernel_size[0] - 1) * self.dilation[0]
        return super().forward(nn.functional.pad(input, (span, 0)))


class CausalConvTranspose1d(nn.ConvTranspose1d):
    """[B, C, F] -> [B, C', F · stride]; each output frame is of its own input frame and the one before.

    The kernel has twice the length of the stride, and the first frame stands for the one before it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__(in_channels, out_channels, 2 * stride, stride)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002
        """Return the transposed convolution of ``input`` without its first and its last frame."""
        full = super().forward(nn.functional.pad(input, (1, 0), mode="replicate"), output_size)
        stride = self.stride[0]
        return full[..., stride:-stride]


def downsampled_reach(layers: Iterable[tuple[int, int]]) -> int:
    """Return how many samples before a frame's first one it depends on, after ``layers`` of (span, stride).

    The span of a convolution is ``(kernel_size - 1) · dilation``, in its own input steps: each of them is as many
    samples as the strides before it make.
    """
    reach, step = 0, 1
    for span, stride in layers:
        reach += span * step
        step *= stride
    return reach


def upsampled_reach(layers: Iterable[tuple[int, int]]) -> int:
    """Return how many frames before its own a sample depends on, after ``layers`` of (span, stride) from the input.

    A stride above 1 is that of a transposed convolution, which adds a frame of its own before the convolutions of
    the span, in its output steps. Worst is the first sample of a frame: ``n`` steps before it begin in the frame
    ``ceil(n / stride)`` before.
    """
    reach = 0
    for span, stride in reversed(list(layers)):
        reach += span
        if stride > 1:
            reach = -(-reach // stride) + 1
    return reach
