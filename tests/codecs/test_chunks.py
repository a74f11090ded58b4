"""Long audio in pieces: every frame is kept once, with its context, whatever the lengths."""

import pytest
import torch
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.base import Codec, Context, TokenizerInfo, _pieces
from tokbench.codes import StreamInfo

HOP = 8


class Neighbours(Codec):
    """Two streams, one twice as fast; each code is of the three frames around it, each sample of three codes."""

    context = Context(encode_before=1, encode_after=1, decode_before=1, decode_after=1)

    def __init__(self, chunk_s: float) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=800, streams=(StreamInfo(1, 512, 100.0), StreamInfo(1, 512, 200.0)), name="neighbours"
        )
        self.chunk_s = chunk_s
        self.longest = 0

    def _encode(self, samples: Tensor) -> list[Tensor]:
        self.longest = max(self.longest, samples.shape[1])
        padded = torch.nn.functional.pad(samples, (0, -samples.shape[1] % HOP))
        return [self._codes(padded, HOP), self._codes(padded, HOP // 2)]

    @staticmethod
    def _codes(samples: Tensor, hop: int) -> Tensor:
        means = samples.reshape(1, -1, hop).mean(dim=2)
        around = torch.nn.functional.pad(means, (1, 1)).unfold(1, 3, 1).mean(dim=2)
        return ((around + 1) * 255).round().long()

    def _decode(self, streams: list[Tensor]) -> Tensor:
        slow, fast = (stream.float() for stream in streams)
        around = torch.nn.functional.pad(slow, (1, 1)).unfold(1, 3, 1).mean(dim=2)
        return around.repeat_interleave(HOP, dim=1) + fast.repeat_interleave(HOP // 2, dim=1)


@pytest.mark.parametrize("num_samples", [1, 7, 8, 79, 80, 81, 95, 96, 97, 400, 803])
def test_pieces_give_what_the_whole_gives(num_samples: int) -> None:
    audio = Audio(torch.rand(1, num_samples, generator=torch.Generator().manual_seed(0)) * 2 - 1, 800)
    whole, pieces = Neighbours(chunk_s=100.0), Neighbours(chunk_s=0.05)
    expected, actual = whole.encode(audio), pieces.encode(audio)
    for first, second in zip(expected.streams, actual.streams, strict=True):
        assert torch.equal(first.indices, second.indices)
    assert torch.equal(whole.decode(expected).samples, pieces.decode(expected).samples)
    assert pieces.longest <= (5 + 2) * HOP < max(num_samples, 57)


@pytest.mark.parametrize("num_frames", [1, 2, 9, 10, 11, 40])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (0, 2), (5, 1)])
def test_every_frame_is_kept_once_with_its_context(num_frames: int, before: int, after: int) -> None:
    kept = []
    for piece in _pieces(num_frames, 4, before=before, after=after):
        frames = list(range(piece.start, piece.stop))
        for frame in frames[piece.kept(1)]:
            assert piece.start <= max(frame - before, 0)
            assert piece.stop >= min(frame + after + 1, num_frames)
            kept.append(frame)
    assert kept == list(range(num_frames))
