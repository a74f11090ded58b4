# ruff: noqa: D401  (the docstring of a check is a rule, not what the function does)
"""The conformance suite: what every codec must do before its score means anything.

For the test-suite of a codec's author, where the first failure is raised::

    from tokbench.testing import check_codec

    def test_my_codec_conforms():
        check_codec(MyCodec)

and for ``tokbench check CODEC``, where :func:`run_checks` returns all results. A check is a function of a
:class:`Subject` whose docstring is the rule; it raises where the rule is broken.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tokbench.audio import Audio
from tokbench.codecs import registry
from tokbench.codecs.base import Codec, ContinuousTokenizer, ResidualCodec, Tokenizer, TokenizerInfo
from tokbench.codecs.bitstream import Bitstream
from tokbench.codes import Codes
from tokbench.errors import (
    BitrateOrderError,
    ChannelsError,
    CodeRangeError,
    CodesShapeError,
    FrameRateError,
    NonFiniteAudioError,
    NotSupportedError,
    SampleRateError,
    TokbenchError,
)
from tokbench.runners.base import reason_of

__all__ = [
    "CHECKS",
    "LOADING",
    "Check",
    "CheckFailedError",
    "CheckResult",
    "Subject",
    "check_codec",
    "iterate_checks",
    "run_checks",
]

Status = Literal["passed", "failed", "skipped"]
Make = Callable[[], Tokenizer]
Announce = Callable[[str, str], None]
"""Is told the codec and the check that are about to begin."""

LONG_INPUT_S = 60.0
"""Longer than the 30 s context of the models that codecs are built from."""


class CheckFailedError(TokbenchError):
    """A codec that breaks a rule of the contract."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check on one setting of a codec."""

    codec: str
    """``name:setting``."""
    name: str
    """The check's function without ``check_``."""
    status: Status
    message: str = ""
    """What is wrong, or why the check was skipped."""


@dataclass(frozen=True)
class Subject:
    """What is checked: a way to make the codec anew, one instance of it, and what its settings advertise."""

    make: Make
    tokenizer: Tokenizer
    settings: tuple[TokenizerInfo, ...]
    long_input_s: float

    def voice(self, duration_s: float, *, seed: int = 0) -> Audio:
        """Return a voice-like signal in the codec's format: harmonics of a gliding pitch, pauses, some noise."""
        rate_hz = self.tokenizer.info.sample_rate_hz
        generator = np.random.default_rng(seed)
        time_s = np.arange(max(round(duration_s * rate_hz), 1)) / rate_hz
        pitch_hz = 110 + 20 * seed + 30 * np.sin(2 * np.pi * 0.6 * time_s)
        phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
        harmonics = sum(np.sin(k * phase) / k for k in range(1, 12))
        envelope = np.clip(np.sin(2 * np.pi * 1.3 * time_s + 1), 0, 1)
        return self._audio(0.15 * envelope * harmonics + 0.002 * generator.standard_normal(len(time_s)))

    def loud(self, duration_s: float) -> Audio:
        """Return clipped white noise: every amplitude up to full scale."""
        num_samples = round(duration_s * self.tokenizer.info.sample_rate_hz)
        return self._audio(np.clip(np.random.default_rng(0).standard_normal(num_samples), -1, 1))

    def silence(self, duration_s: float) -> Audio:
        """Return digital silence."""
        return self._audio(np.zeros(round(duration_s * self.tokenizer.info.sample_rate_hz)))

    def _audio(self, mono: np.ndarray) -> Audio:
        info = self.tokenizer.info
        return Audio.from_numpy(np.tile(mono, (info.num_channels, 1)), info.sample_rate_hz)


def check_code_shape(subject: Subject) -> None:
    """Codes are int64 [K, F], one tensor per advertised stream."""
    _expect_no(CodesShapeError, subject)


def check_code_range(subject: Subject) -> None:
    """Every code lies in 0 .. V - 1 of the advertised codebook size, full-scale input included."""
    _expect_no(CodeRangeError, subject)


def check_frame_rate(subject: Subject) -> None:
    """The number of frames is that of the advertised frame rate, within one frame."""
    _expect_no(FrameRateError, subject)


def _expect_no(kind: type[TokbenchError], subject: Subject) -> None:
    """Encode, and raise errors of this kind alone: each kind is reported by the one check that is about it."""
    for audio in (subject.voice(2.3), subject.loud(1.0)):
        try:
            subject.tokenizer.encode(audio)
        except (CodesShapeError, CodeRangeError, FrameRateError) as error:
            if isinstance(error, kind):
                raise


def check_encode_determinism(subject: Subject) -> None:
    """Encoding the same audio twice gives the same codes."""
    audio = subject.voice(1.1)
    _expect_same_codes(subject.tokenizer.encode(audio), subject.tokenizer.encode(audio), "the second time")


def check_order_independence(subject: Subject) -> None:
    """The codes of an utterance do not depend on what was encoded before it."""
    first, second = subject.voice(0.7, seed=1), subject.voice(1.3, seed=2)
    forth, back = subject.make(), subject.make()
    before = forth.encode(first), forth.encode(second)
    after = back.encode(second), back.encode(first)
    _expect_same_codes(before[0], after[1], "after another utterance; reset all state in _encode")
    _expect_same_codes(before[1], after[0], "before another utterance; reset all state in _encode")


def check_batch(subject: Subject) -> None:
    """encode_batch gives each utterance the codes that encode gives it: padding must not change a code."""
    audios = [subject.voice(duration_s, seed=seed) for seed, duration_s in enumerate((1.0, 0.37, 1.9))]
    batch = subject.tokenizer.encode_batch(audios)
    if len(batch) != len(audios):
        msg = f"{len(batch)} results for {len(audios)} utterances"
        raise CheckFailedError(msg)
    for audio, codes in zip(audios, batch, strict=True):
        _expect_same_codes(subject.tokenizer.encode(audio), codes, f"in a batch, for {audio.duration_s:.2f} s")


def check_wrong_rate(subject: Subject) -> None:
    """Audio at another sample rate is refused, by encode_batch as well."""
    audio = subject.voice(0.5)
    _expect_refusal(SampleRateError, subject, Audio(audio.samples, audio.sample_rate_hz // 2))


def check_wrong_channels(subject: Subject) -> None:
    """Audio with another number of channels is refused, by encode_batch as well."""
    audio = subject.voice(0.5)
    _expect_refusal(ChannelsError, subject, Audio(audio.samples.repeat(3, 1), audio.sample_rate_hz))


def check_nan(subject: Subject) -> None:
    """Samples that have become NaN are refused, by encode_batch as well."""
    audio = subject.voice(0.5)
    audio.samples[0, audio.num_samples // 2] = torch.nan
    _expect_refusal(NonFiniteAudioError, subject, audio)


def _expect_refusal(kind: type[TokbenchError], subject: Subject, audio: Audio) -> None:
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: subject.tokenizer.encode(audio),
        "encode_batch": lambda: subject.tokenizer.encode_batch([audio]),
    }
    for name, call in calls.items():
        try:
            call()
        except kind:
            continue
        msg = f"{name} accepted it; call Tokenizer.encode, which raises {kind.__name__}"
        raise CheckFailedError(msg)


def check_bitrate_order(subject: Subject) -> None:
    """Settings are listed from the lowest bitrate to the highest."""
    rated = [info for info in subject.settings if info.bitrate_bps is not None]
    if rated != sorted(rated, key=lambda info: info.bitrate_bps or 0.0):
        listing = ", ".join(f"{info.setting} {info.bitrate_bps:g} bit/s".strip() for info in rated)
        raise BitrateOrderError(subject.tokenizer.info.name, listing)


def check_decoded_length(subject: Subject) -> None:
    """Decoded audio is at most one frame shorter than what was encoded, for any length."""
    for num_samples in (1000, 4799, 16001, 48000):
        duration_s = num_samples / subject.tokenizer.info.sample_rate_hz
        try:
            _round_trip(subject, subject.voice(duration_s))
        except NonFiniteAudioError:
            continue


def check_decode_determinism(subject: Subject) -> None:
    """Decoding the same codes twice gives the same samples."""
    decode = _codec(subject.tokenizer).decode
    codes = subject.tokenizer.encode(subject.voice(0.8))
    _expect_same_audio(decode(codes), decode(codes), "the second time; seed its random numbers by a constant")


def check_decode_from_codes(subject: Subject) -> None:
    """A fresh instance decodes the codes of another: nothing but the codes reaches the decoder."""
    codes = subject.tokenizer.encode(subject.voice(1.2, seed=1))
    subject.tokenizer.encode(subject.voice(1.2, seed=2))
    decoded = _codec(subject.tokenizer).decode(codes)
    _expect_same_audio(
        decoded, _codec(subject.make()).decode(codes), "by a fresh instance; keep nothing of _encode"
    )


def check_chosen_codebooks(subject: Subject) -> None:
    """A residual codec decodes all codebooks alike, chosen or not, and a chosen one whatever the others hold."""
    codec = subject.tokenizer
    if not isinstance(codec, ResidualCodec):
        return
    codes = codec.encode(subject.voice(0.8))
    chosen = codec.decode(codes, slice(0, codec.num_separable_codebooks))
    _expect_same_audio(codec.decode(codes), chosen, "with all codebooks chosen")
    first = codec.decode(codes, slice(0, 1))
    if first.num_samples != codes.num_samples:
        msg = f"{first.num_samples} samples of {codes.num_samples} decoded from the first codebook"
        raise CheckFailedError(msg)
    if codec.num_separable_codebooks > 1 and len(codes.streams) == 1:
        indices = codes.streams[0].indices.clone()
        indices[1:] = 0
        others = dataclasses.replace(codes, streams=(dataclasses.replace(codes.streams[0], indices=indices),))
        _expect_same_audio(first, codec.decode(others, slice(0, 1)), "with other codes in codebooks not chosen")


def check_entropy_coding(subject: Subject) -> None:
    """A fresh instance restores entropy coded codes bit for bit, where there is a model by which they are coded."""
    if subject.tokenizer.entropy_coder is None:
        return
    codes = subject.tokenizer.encode(subject.voice(0.9))
    stream = Bitstream.pack(subject.tokenizer.info.name, codes, subject.tokenizer.entropy_coder)
    _expect_same_codes(codes, stream.unpack(subject.make().entropy_coder), "from a bitstream")


def check_latents(subject: Subject) -> None:
    """Latents, where there are any, are finite, the same the second time, and as many per second for any length."""
    if not isinstance(subject.tokenizer, ContinuousTokenizer) and not _has_latents(subject):
        return
    rates_hz = []
    for duration_s in (1.0, 2.0):
        first, second = (subject.tokenizer.latents(subject.voice(duration_s)) for _ in range(2))
        if not torch.equal(first.values, second.values) or not bool(torch.isfinite(first.values).all()):
            msg = f"for {duration_s:g} s the second time differs, or a value is not finite"
            raise CheckFailedError(msg)
        rates_hz.append(first.frame_rate_hz)
    if abs(rates_hz[0] - rates_hz[1]) > 1.0:  # a frame more or less in the shorter one
        msg = f"{rates_hz[0]:g} frames per second in one second of audio, {rates_hz[1]:g} in two"
        raise CheckFailedError(msg)


def _has_latents(subject: Subject) -> bool:
    try:
        subject.tokenizer.latents(subject.voice(0.5))
    except NotSupportedError:
        return False
    return True


def check_chunks(subject: Subject) -> None:
    """A codec that declares its context gives long audio, cut into pieces, the codes and samples of the whole."""
    whole = subject.tokenizer
    if whole.context is None:
        return
    pieces = copy.copy(whole)
    frame_s = 1 / min(stream.frame_rate_hz or 1.0 for stream in whole.info.streams)
    context = whole.context
    reach = max(context.encode_before + context.encode_after, context.decode_before + context.decode_after)
    pieces.chunk_s = max(0.5, 4 * frame_s)
    audio = subject.voice(2 * pieces.chunk_s + reach * frame_s + 0.7 * frame_s)
    codes = whole.encode(audio)
    _expect_same_codes(codes, pieces.encode(audio), "in pieces; its context is too short")
    if isinstance(whole, Codec) and isinstance(pieces, Codec):
        expected, actual = whole.decode(codes).samples, pieces.decode(codes).samples
        largest, loudest = float((expected - actual).abs().max()), float(expected.abs().max())
        if largest > 1e-5 * max(loudest, 1.0):
            msg = f"samples differ by up to {largest:.2g} when decoded in pieces; its context is too short"
            raise CheckFailedError(msg)


def check_silence(subject: Subject) -> None:
    """Digital silence is encoded and decoded like any audio."""
    _round_trip(subject, subject.silence(1.0))


def check_one_sample(subject: Subject) -> None:
    """A single sample is encoded, to at least one frame, and decoded."""
    _round_trip(subject, subject.voice(0.0))


def check_long_input(subject: Subject) -> None:
    """A minute of audio is encoded and decoded at the advertised frame rate."""
    _round_trip(subject, subject.voice(subject.long_input_s))


def _round_trip(subject: Subject, audio: Audio) -> None:
    codes = subject.tokenizer.encode(audio)
    if isinstance(subject.tokenizer, Codec):
        subject.tokenizer.decode(codes)


def _codec(tokenizer: Tokenizer) -> Codec:
    if not isinstance(tokenizer, Codec):
        msg = f"{type(tokenizer).__name__} is not a Codec"
        raise CheckFailedError(msg)
    return tokenizer


def _expect_same_codes(expected: Codes, actual: Codes, when: str) -> None:
    for index, (first, second) in enumerate(zip(expected.streams, actual.streams, strict=True)):
        if first.indices.shape != second.indices.shape:
            shapes = f"{list(first.indices.shape)} became {list(second.indices.shape)}"
            msg = f"stream {index}: {shapes} {when}"
            raise CheckFailedError(msg)
        num_different = int((first.indices != second.indices).sum())
        if num_different:
            msg = f"stream {index}: {num_different} of {first.indices.numel()} codes differ {when}"
            raise CheckFailedError(msg)


def _expect_same_audio(expected: Audio, actual: Audio, when: str) -> None:
    largest = float((expected.samples - actual.samples).abs().max())
    if largest > 0:
        msg = f"samples differ by up to {largest:.2g} when decoded {when}"
        raise CheckFailedError(msg)


@dataclass(frozen=True)
class Check:
    """One rule, with its place in the suite."""

    function: Callable[[Subject], None]
    is_gate: bool = False
    """Whatever breaks this rule would fail the later checks too: they are skipped."""
    decodes: bool = False
    """For codecs alone, not for tokenizers that only encode."""
    needs_codes: bool = True
    """Not for continuous tokenizers, which have latents only."""

    @property
    def name(self) -> str:
        """The function's name without ``check_``."""
        return self.function.__name__.removeprefix("check_")

    @property
    def rule(self) -> str:
        """The function's docstring."""
        return (self.function.__doc__ or "").strip()


CHECKS = (
    Check(check_code_shape, is_gate=True),
    Check(check_code_range, is_gate=True),
    Check(check_frame_rate, is_gate=True),
    Check(check_encode_determinism),
    Check(check_order_independence),
    Check(check_batch),
    Check(check_wrong_rate, needs_codes=False),
    Check(check_wrong_channels, needs_codes=False),
    Check(check_nan, needs_codes=False),
    Check(check_bitrate_order, needs_codes=False),
    Check(check_decoded_length, is_gate=True, decodes=True),
    Check(check_decode_determinism, decodes=True),
    Check(check_decode_from_codes, decodes=True),
    Check(check_silence),
    Check(check_one_sample),
    Check(check_long_input),
    Check(check_chunks),
    Check(check_chosen_codebooks, decodes=True),
    Check(check_entropy_coding),
    Check(check_latents, needs_codes=False),
)
"""The suite, in the order in which it runs."""


LOADING = "loading"
"""What comes before the suite, as a check."""
_LOADING_RULE = (
    "The file is imported without an error, and the class makes an instance that has an info, "
    "from the keyword arguments of each setting."
)


def check_codec(
    codec: Tokenizer | Make, *, settings: Sequence[Make] = (), long_input_s: float = LONG_INPUT_S
) -> None:
    """Raise :class:`CheckFailedError`, naming the check and the rule, if ``codec`` breaks the contract.

    ``codec`` is a class, a function that returns a new instance, or an instance that has not been used yet;
    ``settings`` are functions that make the codec at each of its bitrates, rising.
    """
    make = _copier(codec) if isinstance(codec, Tokenizer) else codec
    infos = tuple(_named(one()).info for one in settings)
    for result in _results(Subject(lambda: _named(make()), _named(make()), infos, long_input_s), _tell_nobody):
        if result.status == "failed":
            msg = f"{result.codec}: {result.name}: {result.message}"
            raise CheckFailedError(msg)


def run_checks(
    codec: str | Sequence[registry.CodecReference],
    *,
    weights: Path | None = None,
    long_input_s: float = LONG_INPUT_S,
) -> list[CheckResult]:
    """Return the result of every check on what ``codec``, as given to ``--codec``, refers to.

    Raises :class:`tokbench.errors.UnknownNameError` for an unknown codec, and what :func:`registry.load` raises
    for one whose weights or packages are not there.
    """
    return list(iterate_checks(codec, weights=weights, long_input_s=long_input_s))


def _tell_nobody(_codec: str, _check: str) -> None:
    pass


def iterate_checks(
    codec: str | Sequence[registry.CodecReference],
    *,
    weights: Path | None = None,
    long_input_s: float = LONG_INPUT_S,
    announce: Announce = _tell_nobody,
) -> Iterator[CheckResult]:
    """Yield what :func:`run_checks` returns as it is found; ``announce`` is told what begins."""
    try:
        references = registry.expand(codec) if isinstance(codec, str) else codec
    except TokbenchError as error:
        if error.__cause__ is None or isinstance(error.__cause__, ImportError | SyntaxError):
            raise
        yield _not_loaded(str(codec), error.__cause__)
        return
    infos: dict[tuple[str, str], TokenizerInfo] = {}

    def info(reference: registry.CodecReference) -> TokenizerInfo:
        key = (reference.card.name, reference.setting)
        if key not in infos:
            infos[key] = registry.load(reference, weights=weights).info
        return infos[key]

    for reference in references:

        def make(reference: registry.CodecReference = reference) -> Tokenizer:
            return registry.load(reference, weights=weights)

        announce(reference.label, LOADING)
        try:
            siblings = tuple(info(dataclasses.replace(reference, setting=name)) for name in reference.card.settings)
            subject = Subject(make, make(), siblings, long_input_s)
        except TokbenchError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  (as in _failure)
            yield _not_loaded(reference.label, error)
        else:
            yield from _results(subject, announce)


def _not_loaded(label: str, error: BaseException) -> CheckResult:
    return CheckResult(label, LOADING, "failed", f"{_LOADING_RULE} Found: {reason_of(error)}")


def _copier(codec: Tokenizer) -> Make:
    return lambda: copy.deepcopy(codec)


def _named(tokenizer: Tokenizer) -> Tokenizer:
    """Give a codec that did not come from the registry a name for its errors."""
    tokenizer.info = dataclasses.replace(tokenizer.info, name=tokenizer.info.name or type(tokenizer).__name__)
    return tokenizer


def _results(subject: Subject, announce: Announce) -> Iterable[CheckResult]:
    info = subject.tokenizer.info
    label = f"{info.name}:{info.setting}" if info.setting else info.name
    closed = ""
    for check in CHECKS:
        if closed:
            yield CheckResult(label, check.name, "skipped", f"{closed} failed")
        elif check.needs_codes and isinstance(subject.tokenizer, ContinuousTokenizer):
            yield CheckResult(label, check.name, "skipped", "no codes")
        elif check.decodes and not isinstance(subject.tokenizer, Codec):
            yield CheckResult(label, check.name, "skipped", "encodes only")
        else:
            announce(label, check.name)
            message = _failure(check, subject)
            yield CheckResult(label, check.name, "failed" if message else "passed", message)
            closed = check.name if message and check.is_gate else ""


def _failure(check: Check, subject: Subject) -> str:
    """Return what is wrong, nothing if the rule is kept."""
    try:
        check.function(subject)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a codec may raise anything, and that is a finding)
        return f"{check.rule} Found: {reason_of(error)}"
    return ""
