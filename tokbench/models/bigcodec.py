"""BigCodec (Xin et al. 2024, arXiv:2409.05377): convolutions with snakes, a recurrent layer, and one codebook.

The recurrent layers run forward alone, at the rate of the frames; what comes before and after them has a finite
reach, so that long audio is run through it in pieces.

Axes: ``B`` batch, ``C`` channels, ``D`` features, ``F`` frames, ``T`` time, ``V`` codebook size.
"""

from torch import Tensor, nn

from tokbench.models.pieces import Reach, in_pieces
from tokbench.models.snake import SPAN, AntiAliasedSnake

__all__ = ["BigCodecDecoder", "BigCodecEncoder", "FactorizedQuantizer"]

STRIDES = (2, 2, 2, 5, 5)
"""Of the encoder; the decoder has them from the last to the first."""
DILATIONS = (1, 3, 9)
"""Of the three residual units in each block."""
KERNEL_SIZE = 7
HALF = KERNEL_SIZE // 2
UNITS_SPAN = sum(2 * SPAN + HALF * dilation for dilation in DILATIONS)
"""Steps on each side of an output of the three on which it depends: two activations and a convolution each."""
NUM_LSTM_LAYERS = 2
PIECE_FRAMES = 2400
"""Frames that are run at a time: 30 s."""


class ResidualUnit(nn.Module):
    """A dilated and a pointwise convolution, each after a snake, with a way around: [B, C, T] -> [B, C, T]."""

    def __init__(self, num_channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            AntiAliasedSnake(num_channels),
            nn.Conv1d(num_channels, num_channels, KERNEL_SIZE, dilation=dilation, padding=HALF * dilation),
            AntiAliasedSnake(num_channels),
            nn.Conv1d(num_channels, num_channels, 1),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        changed: Tensor = self.block(values)
        return values + changed


def _padding(stride: int) -> int:
    return -(-stride // 2)


def _encoder_block(in_channels: int, stride: int) -> nn.Sequential:
    """Return residual units, then half the rate and twice the channels for a stride of 2."""
    return nn.Sequential(
        *(ResidualUnit(in_channels, dilation) for dilation in DILATIONS),
        AntiAliasedSnake(in_channels),
        nn.Conv1d(in_channels, 2 * in_channels, 2 * stride, stride, _padding(stride)),
    )


def _decoder_block(in_channels: int, stride: int) -> nn.Sequential:
    """Return twice the rate and half the channels for a stride of 2, then residual units."""
    padding = _padding(stride)
    return nn.Sequential(
        AntiAliasedSnake(in_channels),
        nn.ConvTranspose1d(
            in_channels, in_channels // 2, 2 * stride, stride, padding, output_padding=2 * padding - stride
        ),
        *(ResidualUnit(in_channels // 2, dilation) for dilation in DILATIONS),
    )


class ResidualLstm(nn.Module):
    """Recurrent layers with a way around them: [B, C, F] -> [B, C, F]."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(num_channels, num_channels, NUM_LSTM_LAYERS, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, F] of [B, C, F]."""
        changed: Tensor = self.lstm(values.transpose(1, 2))[0].transpose(1, 2)
        return values + changed


class BigCodecEncoder(nn.Module):
    """[B, 1, F · 200] -> [B, D, F]."""

    def __init__(self, *, channels: int = 48, dimension: int = 1024) -> None:
        super().__init__()
        self.input_conv = nn.Conv1d(1, channels, KERNEL_SIZE, padding=HALF)
        self.blocks = nn.Sequential()
        for stride in STRIDES:
            self.blocks.append(_encoder_block(channels, stride))
            channels *= 2
        self.recurrence = ResidualLstm(channels)
        self.output_activation = AntiAliasedSnake(channels)
        self.output_conv = nn.Conv1d(channels, dimension, 3, padding=1)
        self.hop_length, self.samples_before, self.samples_after = _downsampled_reach()

    @property
    def reach(self) -> Reach:
        """How far the layers before the recurrence look."""
        hop = self.hop_length
        return Reach(-(-self.samples_before // hop), -(-(self.samples_after - hop + 1) // hop))

    @property
    def look_ahead(self) -> int:
        """Samples after a frame's own last one on which the latents depend."""
        return self.samples_after - (self.hop_length - 1) + (SPAN + 1) * self.hop_length

    def forward(self, samples: Tensor) -> Tensor:
        """Return the latents [B, D, F] of ``samples`` [B, 1, T], whole frames."""
        frames = in_pieces(self.local, samples, reach=self.reach, num_frames=PIECE_FRAMES, in_step=self.hop_length)
        latents: Tensor = self.output_conv(self.output_activation(self.recurrence(frames)))
        return latents

    def local(self, samples: Tensor) -> Tensor:
        """Return what the recurrence gets, [B, C, F] of ``samples`` [B, 1, T]."""
        frames: Tensor = self.blocks(self.input_conv(samples))
        return frames


def _downsampled_reach() -> tuple[int, int, int]:
    """Return samples per frame, and those before and after a frame's first one on which it depends."""
    step, before, after = 1, HALF, HALF
    for stride in STRIDES:
        # Output k of the strided layer is of the inputs k·S - p … k·S - p + 2·S - 1.
        before += step * (UNITS_SPAN + SPAN + _padding(stride))
        after += step * (UNITS_SPAN + SPAN + 2 * stride - 1 - _padding(stride))
        step *= stride
    return step, before, after


class BigCodecDecoder(nn.Module):
    """[B, D, F] -> [B, 1, F · 200], between -1 and 1."""

    def __init__(self, *, channels: int = 1536, dimension: int = 1024) -> None:
        super().__init__()
        self.input_conv = nn.Conv1d(dimension, channels, KERNEL_SIZE, padding=HALF)
        self.recurrence = ResidualLstm(channels)
        self.blocks = nn.Sequential()
        self.hop_length = 1
        for stride in reversed(STRIDES):
            self.blocks.append(_decoder_block(channels, stride))
            channels //= 2
            self.hop_length *= stride
        self.output_activation = AntiAliasedSnake(channels)
        self.output_conv = nn.Conv1d(channels, 1, KERNEL_SIZE, padding=HALF)
        self.reach = _upsampled_reach()
        """How far the layers after the recurrence look."""

    def forward(self, latents: Tensor) -> Tensor:
        """Return the waveform [B, 1, T] of ``latents`` [B, D, F]."""
        frames = self.recurrence(self.input_conv(latents))
        return in_pieces(self.local, frames, reach=self.reach, num_frames=PIECE_FRAMES, out_step=self.hop_length)

    def local(self, frames: Tensor) -> Tensor:
        """Return the waveform [B, 1, T] of what the recurrence makes, [B, C, F]."""
        samples: Tensor = self.output_conv(self.output_activation(self.blocks(frames)))
        return samples.tanh()


def _upsampled_reach() -> Reach:
    before = after = HALF + SPAN
    for stride in STRIDES:
        # Output t of the transposed layer is of the inputs ceil((t + p + 1) / S) - 2 … floor((t + p) / S); t is the
        # first step of a frame less what looks back from there, or its last step and what looks ahead.
        before = (before + UNITS_SPAN + 2 * stride - 1 - _padding(stride)) // stride + SPAN
        after = (after + UNITS_SPAN + stride - 1 + _padding(stride)) // stride + SPAN
    return Reach(before, after)


class FactorizedQuantizer(nn.Module):
    """One codebook of few features, in which directions are compared (Yu et al. 2022, arXiv:2110.04627)."""

    def __init__(self, *, dimension: int = 1024, codebook_size: int = 8192, codebook_dimension: int = 8) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dimension, codebook_dimension)
        self.out_proj = nn.Linear(codebook_dimension, dimension)
        self.codebook = nn.Embedding(codebook_size, codebook_dimension)

    def encode(self, latents: Tensor) -> Tensor:
        """Return int64 codes [B, F] of ``latents`` [B, D, F]."""
        directions = nn.functional.normalize(self.in_proj(latents.transpose(1, 2)).flatten(0, 1))
        table = nn.functional.normalize(self.codebook.weight)
        # |x - e|² = |x|² - 2 x·e + |e|², of vectors of length 1, but rounded as in the published model.
        lengths = directions.pow(2).sum(1, keepdim=True)
        distances = lengths - 2 * directions @ table.T + table.pow(2).sum(1)
        return distances.argmin(dim=1).view(latents.shape[0], latents.shape[2])

    def decode(self, codes: Tensor) -> Tensor:
        """Return [B, D, F] of int64 ``codes`` [B, F]; the vectors of the codebook keep their lengths."""
        latents: Tensor = self.out_proj(self.codebook(codes)).transpose(1, 2)
        return latents
