"""What the contract does to the networks of an adapter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tokbench.audio import Audio
from tokbench.codecs.base import Codec, Context, ContinuousTokenizer, ResidualCodec, TokenizerInfo
from tokbench.codes import Codes, CodeStream, StreamInfo
from tokbench.errors import CodeRangeError, CodesShapeError, NotSupportedError, SampleRateError, TokbenchError


class Mixes(ContinuousTokenizer):
    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.info = TokenizerInfo(sample_rate_hz=16000, num_channels=3, streams=(), name="mixes")

    def _latents(self, samples: Tensor) -> Tensor:
        return self.network(samples[None])[0].T


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_single_tap_computes_the_same_however_it_is_run(num_threads: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv1d(3, 5, 1)
    samples = torch.rand(3, 40)
    weight, bias, values = layer.weight.detach().numpy(), layer.bias.detach().numpy(), samples.numpy()
    expected = np.zeros((40, 5))
    for frame in range(40):
        for output in range(5):
            terms = [weight[output, channel, 0] * values[channel, frame] for channel in range(3)]
            expected[frame, output] = sum(terms) + bias[output]
    torch.set_num_threads(num_threads)
    try:
        latents = Mixes(nn.Sequential(layer)).to("cpu").latents(Audio(samples, 16000)).values
    finally:
        torch.set_num_threads(1)
    assert layer.dilation == (2,)
    np.testing.assert_allclose(latents.numpy(), expected, atol=1e-6)


def test_other_convolutions_are_left_alone() -> None:
    layer = nn.Conv1d(3, 5, 3, dilation=4)
    Mixes(nn.Sequential(layer)).to("cpu")
    assert layer.dilation == (4,)


class Digits(ResidualCodec):
    """Samples of three decimal digits: tenths, hundredths, thousandths; and the gain, a stream of its own."""

    def __init__(self, context: Context | None = None) -> None:
        streams = (StreamInfo(3, 10, 16000.0), StreamInfo(1, 10, 16000.0, "gain"))
        self.info = TokenizerInfo(sample_rate_hz=16000, streams=streams, name="digits")
        self.context, self.chunk_s = context, 0.001

    def _encode(self, samples: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        worth = torch.tensor([0.1, 0.01, 0.001])[:, None]
        return (streams[0] * worth)[codebooks].sum(dim=0, keepdim=True) * streams[1]


class Tenths(Codec):
    """What decodes all that it gets, and nothing less."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(3, 10, 16000.0),), name="tenths")

    def _encode(self, samples: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return streams[0][:1] / 10


def digits(*samples: tuple[int, int, int], gain: int = 1, times: int = 1) -> Codes:
    indices = torch.tensor(samples * times).T.contiguous()
    gains = torch.full((1, indices.shape[1]), gain)
    streams = CodeStream(indices, 10, 16000.0), CodeStream(gains, 10, 16000.0)
    return Codes(streams, num_samples=indices.shape[1], sample_rate_hz=16000)


@pytest.mark.parametrize(
    ("codebooks", "expected"),
    [
        (slice(None), [0.246, 0.468]),
        (slice(0, 3), [0.246, 0.468]),
        (slice(0, 1), [0.2, 0.4]),
        (slice(1, None), [0.046, 0.068]),
        (slice(0, 2), [0.24, 0.46]),
    ],
)
@pytest.mark.parametrize("context", [None, Context(encode_before=0, encode_after=0)])
def test_any_codebook_is_decoded_without_the_others(
    codebooks: slice, expected: list[float], context: Context | None
) -> None:
    codes = digits((1, 2, 3), (2, 3, 4), gain=2, times=40)  # five pieces of a millisecond, where there is a context
    decoded = Digits(context).decode(codes, codebooks)
    np.testing.assert_allclose(decoded.mono(), expected * 40, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"indices": torch.tensor([[1], [2], [-7]])}, CodeRangeError),
        ({"indices": torch.tensor([[1], [2], [10]])}, CodeRangeError),
        ({"indices": torch.zeros(4, 1, dtype=torch.int64)}, CodesShapeError),
    ],
)
def test_codes_that_are_none_of_a_codec_are_refused(changes: dict[str, Tensor], error: type[TokbenchError]) -> None:
    codes = digits((1, 2, 3))
    first, gains = codes.streams
    with pytest.raises(error):
        Digits(None).decode(replace(codes, streams=(replace(first, **changes), gains)))
    with pytest.raises(SampleRateError):
        Digits(None).decode(replace(codes, sample_rate_hz=48000))
    with pytest.raises(CodesShapeError):
        Digits(None).decode(replace(codes, streams=(first,)))


@pytest.mark.parametrize("hop", [1, 147, 240, 256, 441, 882, 1764, 1920])
@pytest.mark.parametrize("rate_hz", [12000, 24000, 44100, 48000])
def test_a_hop_is_as_long_as_it_was_declared(rate_hz: int, hop: int) -> None:
    codec = Tenths()
    codec.info = TokenizerInfo(sample_rate_hz=rate_hz, streams=(StreamInfo(3, 10, rate_hz / hop),))
    assert codec._hop_length == hop


def test_what_has_no_sum_to_choose_from_says_so() -> None:
    codes = replace(digits((1, 2, 3)), streams=digits((1, 2, 3)).streams[:1])
    assert Tenths().decode(codes).mono() == pytest.approx([0.1])
    with pytest.raises(NotSupportedError, match=r"tenths .*decoding of these codebooks without the others"):
        Tenths().decode(codes, slice(0, 1))


def test_the_only_codebook_can_be_chosen() -> None:
    whole = digits((3, 0, 0))
    alone = Codes((CodeStream(whole.streams[0].indices[:1], 10, 16000.0),), num_samples=1, sample_rate_hz=16000)
    codec = Tenths()
    codec.info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(1, 10, 16000.0),), name="tenths")
    assert codec.decode(alone, slice(0, 1)).mono() == pytest.approx([0.3])
    with pytest.raises(NotSupportedError, match=r"tenths .*decoding of these codebooks without the others"):
        codec.decode(alone, slice(1, None))


def test_of_no_codebook_nothing_is_decoded() -> None:
    with pytest.raises(NotSupportedError, match=r"digits .*decoding of these codebooks without the others"):
        Digits().decode(digits((1, 2, 3)), slice(3, None))
