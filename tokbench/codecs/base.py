"""The contract: what every tokenizer and every codec must do, on one screen.

The public methods are final. They check what comes in, call the private method that an adapter writes, and
check what comes out against what the adapter advertises in ``info``. An adapter cannot forget a check.

Axes: ``C`` channels, ``T`` samples, ``K`` codebooks, ``F`` frames, ``D`` features.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import torch
from torch import Tensor, nn

from tokbench.audio import Audio, Features
from tokbench.codes import Codes, CodeStream, StreamInfo
from tokbench.errors import (
    ChannelsError,
    CodeRangeError,
    CodesShapeError,
    DecodedLengthError,
    FrameRateError,
    NonFiniteAudioError,
    NotSupportedError,
    SampleRateError,
)

if TYPE_CHECKING:
    from tokbench.codecs.entropy import EntropyCoder

__all__ = ["Codec", "Context", "ContinuousTokenizer", "ResidualCodec", "Tokenizer", "TokenizerInfo"]

CHUNK_S = 30.0
"""Length of the pieces into which long audio is cut where a codec's context allows it."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """How far a codec looks: its receptive field, in frames of its slowest stream.

    With it, hour-long audio is encoded and decoded in pieces of bounded memory: each piece is extended by the
    context, and what belongs to the extension is dropped. The result is that of the whole, because no frame that
    is kept depends on anything beyond.
    """

    encode_before: int
    """Frames of audio before a frame's own on which its codes depend."""
    encode_after: int
    """Frames of audio after it."""
    decode_before: int = 0
    """Frames of codes before the one at a sample on which that sample depends."""
    decode_after: int = 0
    """Frames of codes after it."""


@dataclass(frozen=True, kw_only=True)
class TokenizerInfo:
    """What a tokenizer says of itself. The registry fills from the card what an adapter leaves empty."""

    sample_rate_hz: int
    streams: tuple[StreamInfo, ...]
    name: str = ""
    setting: str = ""
    num_channels: int = 1
    causal: bool | None = None
    """True if no code depends on later audio than its own frame and ``latency_s``; None if unknown."""
    latency_s: float = 0.0
    """Audio beyond a frame's own end that its codes need (look-ahead), in seconds; may add frames at the end.
    Infinite for a tokenizer that looks at the whole utterance."""
    num_parameters: int = 0
    licence: str = ""
    source: str = ""
    trained_on: tuple[str, ...] = ()
    """Names of the corpora that the model saw in training."""

    @property
    def bitrate_bps(self) -> float | None:
        """Nominal bits per second over all streams; None where one of them varies, or where there are no codes."""
        rates = [stream.bitrate_bps for stream in self.streams]
        return None if None in rates or not rates else sum(rate for rate in rates if rate is not None)


class Tokenizer(ABC):
    """Encodes audio to codes."""

    info: TokenizerInfo
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Keyword arguments per setting name, for a codec that is registered without a card."""
    device: torch.device = torch.device("cpu")
    context: Context | None = None
    """The receptive field, for a codec that may be run on pieces of long audio; None if it is unbounded."""
    chunk_s: float = CHUNK_S
    """Length of those pieces, context apart."""

    @property
    def entropy_coder(self) -> "EntropyCoder | None":
        """What writes the codes of this setting's one stream in fewer bits; None where no model was trained."""
        return None

    @abstractmethod
    def _encode(self, samples: Tensor) -> list[Tensor]:
        """Return int64 [K, F] per stream of float32 ``samples`` [C, T]."""

    def _latents(self, samples: Tensor) -> Tensor:  # noqa: ARG002
        """Return float32 [F, D] before quantization of float32 ``samples`` [C, T]."""
        raise NotSupportedError(self.info.name, "latents")

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:  # noqa: ARG002
        """Return float32 [F, D], the embedding of the chosen codebooks of int64 [K, F] per stream."""
        raise NotSupportedError(self.info.name, "quantized latents")

    @final
    def encode(self, audio: Audio) -> Codes:
        """Return the codes of ``audio``.

        Raises :class:`SampleRateError` or :class:`ChannelsError` for audio that is not in the codec's format, and
        :class:`CodesShapeError`, :class:`CodeRangeError` or :class:`FrameRateError` for codes that are not what
        the codec advertises.
        """
        self._check_format(audio)
        with torch.inference_mode():
            indices = self._encode_long(audio.samples.to(self.device))
        return self._checked_codes(indices, audio.num_samples)

    def encode_batch(self, audios: Sequence[Audio]) -> list[Codes]:
        """Return the codes of each of ``audios``, equal to those of :meth:`encode` one by one."""
        return [self.encode(audio) for audio in audios]

    @final
    def latents(self, audio: Audio) -> Features:
        """Return what the quantizer gets for ``audio``; raises :class:`NotSupportedError` where there is none."""
        self._check_format(audio)
        with torch.inference_mode():
            values = self._latents_long(audio.samples.to(self.device)).cpu()
        return Features(values, frame_rate_hz=self._rate_of(len(values), audio.duration_s))

    @final
    def quantized(self, codes: Codes, codebooks: slice = slice(None)) -> Features:
        """Return the embedding of ``codes``; raises :class:`NotSupportedError` where there is none."""
        with torch.inference_mode():
            values = self._quantized(self._indices(codes), codebooks).cpu()
        return Features(values, frame_rate_hz=self._rate_of(len(values), codes.duration_s))

    def to(self, device: str | torch.device) -> Self:
        """Move every network of this tokenizer to ``device``."""
        self.device = torch.device(device)
        for value in vars(self).values():
            if isinstance(value, nn.Module):
                value.to(self.device)
                if self.device.type == "cpu":
                    _use_onednn(value)
        return self

    @property
    def _hop_length(self) -> int:
        """Samples per frame of the slowest stream."""
        rates = [stream.frame_rate_hz for stream in self.info.streams if stream.frame_rate_hz is not None]
        # A quotient of a quotient may lie a little above the whole number that it is.
        return math.ceil(self.info.sample_rate_hz / min(rates) - 1e-6) if rates else self.info.sample_rate_hz

    def _rate_of(self, num_frames: int, duration_s: float) -> float:
        """Return the nominal rate of frames of which ``duration_s`` has made ``num_frames``.

        It is that of the slowest stream or a multiple of it; where streams have no rate, what was found.
        """
        found_hz = num_frames / duration_s
        if any(stream.frame_rate_hz is None for stream in self.info.streams):
            return found_hz
        slowest_hz = self.info.sample_rate_hz / self._hop_length
        return max(round(found_hz / slowest_hz), 1) * slowest_hz

    def _encode_long(self, samples: Tensor) -> list[Tensor]:
        if self.context is None:
            return self._encode(samples)
        hop, before, after = self._hop_length, self.context.encode_before, self.context.encode_after
        ratios, kept = self._frame_ratios, []
        for piece in _pieces(-(-samples.shape[1] // hop), self._chunk_frames, before=before, after=after):
            streams = self._encode(samples[:, piece.start * hop : piece.stop * hop])
            kept.append([s[:, piece.kept(ratio)] for s, ratio in zip(streams, ratios, strict=True)])
        return [torch.cat(pieces, dim=1) for pieces in zip(*kept, strict=True)]

    def _latents_long(self, samples: Tensor) -> Tensor:
        if self.context is None:
            return self._latents(samples)
        hop, before, after = self._hop_length, self.context.encode_before, self.context.encode_after
        pieces = _pieces(-(-samples.shape[1] // hop), self._chunk_frames, before=before, after=after)
        values = [self._latents(samples[:, piece.start * hop : piece.stop * hop]) for piece in pieces]
        # Latents may be faster than the slowest stream, as codes may; the last piece need not be whole frames.
        ratio = round(len(values[0]) / (pieces[0].stop - pieces[0].start))
        return torch.cat([v[piece.kept(ratio)] for v, piece in zip(values, pieces, strict=True)], dim=0)

    @property
    def _frame_ratios(self) -> list[int]:
        """Frames of each stream for a frame of the slowest; a faster one has a whole number of them."""
        hop_s = self._hop_length / self.info.sample_rate_hz
        return [round(hop_s * (info.frame_rate_hz or 0)) for info in self.info.streams]

    @property
    def _chunk_frames(self) -> int:
        return max(round(self.chunk_s * self.info.sample_rate_hz / self._hop_length), 1)

    def _indices(self, codes: Codes) -> list[Tensor]:
        """Return the codes of each stream; raises what those of another codec, or damaged ones, deserve."""
        name, advertised = self.info.name, self.info.streams
        if codes.sample_rate_hz != self.info.sample_rate_hz:
            raise SampleRateError(name, expected_hz=self.info.sample_rate_hz, actual_hz=codes.sample_rate_hz)
        self._expect_streams(len(codes.streams))
        for stream, info in zip(codes.streams, advertised, strict=True):
            if len(stream.indices) > info.num_codebooks:
                expected, found = f"int64 [{info.num_codebooks}, F]", f"int64 {list(stream.indices.shape)}"
                raise CodesShapeError(name, expected=expected, actual=found)
            if stream.indices.numel():
                self._expect_codes(stream.indices, info)
        return [stream.indices.to(self.device) for stream in codes.streams]

    def _expect_streams(self, found: int) -> None:
        if found != len(self.info.streams):
            raise CodesShapeError(self.info.name, expected=f"{len(self.info.streams)} stream(s)", actual=f"{found}")

    def _expect_codes(self, indices: Tensor, info: StreamInfo) -> None:
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= info.codebook_size:
            raise CodeRangeError(self.info.name, codebook_size=info.codebook_size, low=low, high=high)

    def _check_format(self, audio: Audio) -> None:
        if audio.sample_rate_hz != self.info.sample_rate_hz:
            raise SampleRateError(
                self.info.name, expected_hz=self.info.sample_rate_hz, actual_hz=audio.sample_rate_hz
            )
        if audio.num_channels != self.info.num_channels:
            raise ChannelsError(self.info.name, expected=self.info.num_channels, actual=audio.num_channels)
        # Audio is finite when it is made, but a tensor can be written to.
        if num_bad := int((~torch.isfinite(audio.samples)).sum()):
            raise NonFiniteAudioError(
                f"the input of {self.info.name}", num_bad=num_bad, num_samples=audio.num_samples
            )

    def _checked_codes(self, indices: list[Tensor], num_samples: int) -> Codes:
        self._expect_streams(len(indices))
        duration_s = num_samples / self.info.sample_rate_hz
        streams = []
        for stream, info in zip(indices, self.info.streams, strict=True):
            self._check_stream(stream, info, duration_s)
            streams.append(CodeStream(stream.cpu(), info.codebook_size, info.frame_rate_hz))
        return Codes(tuple(streams), num_samples, self.info.sample_rate_hz)

    def _check_stream(self, indices: Tensor, info: StreamInfo, duration_s: float) -> None:
        name = self.info.name
        found = f"{str(indices.dtype).removeprefix('torch.')} {list(indices.shape)}"
        if indices.ndim != 2 or indices.shape[0] != info.num_codebooks or indices.dtype != torch.int64:  # noqa: PLR2004
            raise CodesShapeError(name, expected=f"int64 [{info.num_codebooks}, F]", actual=found)
        num_frames = indices.shape[1]
        if num_frames == 0:
            raise CodesShapeError(name, expected="at least one frame", actual=found)
        self._expect_codes(indices, info)
        if info.frame_rate_hz is None:
            return
        # A partial last frame (of the slowest stream, which the others follow) may be dropped or padded, and the
        # look-ahead may ask for more frames to be flushed.
        exact = duration_s * info.frame_rate_hz
        partial = math.ceil(info.frame_rate_hz * self._hop_length / self.info.sample_rate_hz - 1e-6)
        latency_s = self.info.latency_s if math.isfinite(self.info.latency_s) else 0.0  # all there is: none beyond
        slack = math.ceil(latency_s * info.frame_rate_hz)
        if not exact - partial - 1e-6 <= max(num_frames, 1) <= exact + partial + slack + 1e-6:
            raise FrameRateError(
                name, advertised_hz=info.frame_rate_hz, num_frames=num_frames, duration_s=duration_s
            )


def _use_onednn(network: nn.Module) -> None:
    """Let oneDNN run the convolutions of a single tap as well, which makes them up to twice as fast.

    With one thread PyTorch runs them by a slower way of its own, unless they are strided or dilated
    (``use_mkldnn`` in ``aten/src/ATen/native/Convolution.cpp``); to a single tap, a dilation means nothing.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and set(layer.kernel_size) == {1}:
            layer.dilation = (2,) * len(layer.kernel_size)


class ContinuousTokenizer(Tokenizer):
    """A tokenizer without codes: its latents are the ceiling of every task that reads tokens."""

    @final
    def _encode(self, samples: Tensor) -> list[Tensor]:  # noqa: ARG002
        raise NotSupportedError(self.info.name, "codes")


class Codec(Tokenizer):
    """A tokenizer that can also be inverted."""

    @abstractmethod
    def _decode(self, streams: list[Tensor]) -> Tensor:
        """Return float32 [C, T'] of int64 [K, F] per stream; at most one frame shorter than the input was."""

    @property
    def num_separable_codebooks(self) -> int:
        """Codebooks any of which is decoded without the others: the only one, or none of several."""
        return int(sum(stream.num_codebooks for stream in self.info.streams) == 1)

    @final
    def decode(self, codes: Codes, codebooks: slice = slice(None)) -> Audio:
        """Return the waveform of ``codes``, from the codes alone, with the length that was encoded.

        Raises :class:`NotSupportedError` where ``codebooks`` are none of the :attr:`num_separable_codebooks`,
        :class:`DecodedLengthError` if more than a frame is missing and :class:`NonFiniteAudioError` for NaN.
        """
        is_whole = codebooks == slice(None)
        if not is_whole and not range(self.num_separable_codebooks)[codebooks]:
            raise NotSupportedError(self.info.name, "decoding of these codebooks without the others")
        decode = self._decode if is_whole else self._decoder_of(codebooks)
        with torch.inference_mode():
            samples = self._decode_long(self._indices(codes), decode).cpu()
        if samples.ndim != 2 or samples.shape[0] != self.info.num_channels:  # noqa: PLR2004
            raise ChannelsError(
                self.info.name, expected=self.info.num_channels, actual=samples.shape[0] if samples.ndim else 0
            )
        missing = codes.num_samples - samples.shape[1]
        if missing > self._hop_length:
            raise DecodedLengthError(
                self.info.name, expected_samples=codes.num_samples, actual_samples=samples.shape[1]
            )
        samples = nn.functional.pad(samples, (0, max(missing, 0)))[:, : codes.num_samples]
        finite = torch.isfinite(samples)
        if not bool(finite.all()):
            raise NonFiniteAudioError(
                f"the output of {self.info.name}", num_bad=int((~finite).sum()), num_samples=samples.shape[1]
            )
        return Audio(samples.to(torch.float32).contiguous(), self.info.sample_rate_hz)

    def _decoder_of(self, codebooks: slice) -> "Decode":  # noqa: ARG002  (the only one is all of them)
        return self._decode

    def _decode_long(self, streams: list[Tensor], decode: "Decode") -> Tensor:
        if self.context is None:
            return decode(streams)
        hop, before, after = self._hop_length, self.context.decode_before, self.context.decode_after
        ratios = self._frame_ratios
        num_frames = -(-streams[0].shape[1] // ratios[0])
        kept = []
        for piece in _pieces(num_frames, self._chunk_frames, before=before, after=after):
            cut = [s[:, piece.start * r : piece.stop * r] for s, r in zip(streams, ratios, strict=True)]
            kept.append(decode(cut)[:, piece.kept(hop)])
        return torch.cat(kept, dim=1)


Decode = Callable[[list[Tensor]], Tensor]


class ResidualCodec(Codec):
    """A codec that decodes the sum of what its codebooks hold, and so any of them without the others.

    What else it sends, such as loudness, is decoded with whatever is chosen.
    """

    @property
    def num_separable_codebooks(self) -> int:
        """Those of the first stream, if nothing else is said."""
        return self.info.streams[0].num_codebooks

    @abstractmethod
    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        """Return float32 [C, T'] of the chosen codebooks, one at least, of int64 [K, F] per stream."""

    @final
    def _decode(self, streams: list[Tensor]) -> Tensor:
        return self._decode_chosen(streams, slice(None))

    @final
    def _decoder_of(self, codebooks: slice) -> Decode:
        return partial(self._decode_chosen, codebooks=codebooks)


@dataclass(frozen=True)
class _Piece:
    """A part of a sequence with its context: ``start .. stop``, of which ``first .. last`` is kept."""

    start: int
    stop: int
    first: int
    last: int | None

    def kept(self, ratio: int) -> slice:
        """Return what to keep of the piece's output, ``ratio`` steps per frame; the last piece keeps its end."""
        end = None if self.last is None else (self.last - self.start) * ratio
        return slice((self.first - self.start) * ratio, end)


def _pieces(num_frames: int, chunk_frames: int, *, before: int, after: int) -> list[_Piece]:
    """Cut ``num_frames`` into chunks, each extended by its context; one piece where that would save nothing."""
    if num_frames <= chunk_frames + before + after:
        return [_Piece(0, num_frames, 0, None)]
    pieces = []
    for first in range(0, num_frames, chunk_frames):
        last = min(first + chunk_frames, num_frames)
        stop = min(last + after, num_frames)
        pieces.append(_Piece(max(first - before, 0), stop, first, last if last < num_frames else None))
    return pieces
