"""The conformance suite: every shipped codec passes, and each check is failed by a codec that breaks its rule."""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.base import Codec, Context, ResidualCodec, Tokenizer, TokenizerInfo
from tokbench.codecs.entropy import EntropyCoder
from tokbench.codes import Codes, StreamInfo
from tokbench.errors import UnknownNameError
from tokbench.models.code_lm import CodeLm
from tokbench.specs.entropy_coding import EntropyCoding
from tokbench.testing import CHECKS, CheckFailedError, CheckResult, check_codec, run_checks

HOP = 160


class Steps(Codec):
    """A sound codec: the mean of every 10 ms at 16 kHz, in 256 steps."""

    def __init__(self, *, codebook_size: int = 256) -> None:
        self.codebook_size = codebook_size
        self.info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(1, codebook_size, 100.0),))

    def _encode(self, samples: Tensor) -> list[Tensor]:
        padded = torch.nn.functional.pad(samples, (0, -samples.shape[1] % HOP))
        means = padded.reshape(1, -1, HOP).mean(dim=2).clamp(-1, 1)
        return [((means + 1) / 2 * (self.codebook_size - 1)).round().long()]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return (streams[0] / (self.codebook_size - 1) * 2 - 1).repeat_interleave(HOP, dim=1)


class FloatCodes(Steps):
    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [super()._encode(samples)[0].float()]


class OutOfRange(Steps):
    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [super()._encode(samples)[0] + (samples.abs().max() > 0.9) * 200]


class TwiceAsManyFrames(Steps):
    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [super()._encode(samples)[0].repeat_interleave(2, dim=1)]


class TiresOfRepetition(Steps):
    """Encodes an input that it had just before as silence."""

    before: Tensor = torch.empty(0)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        is_repeated, self.before = torch.equal(samples, self.before), samples.clone()
        return super()._encode(samples * (not is_repeated))


class Remembers(Steps):
    """Adapts its range to the longest audio that it has met."""

    longest = 0

    def _encode(self, samples: Tensor) -> list[Tensor]:
        self.longest = max(self.longest, samples.shape[1])
        return super()._encode(samples * samples.shape[1] / self.longest)


class PadsItsBatch(Steps):
    def encode_batch(self, audios: Sequence[Audio]) -> list[Codes]:
        length = max(audio.num_samples for audio in audios)
        padded = [torch.nn.functional.pad(a.samples, (0, length - a.num_samples)) for a in audios]
        return [self.encode(Audio(samples, audios[0].sample_rate_hz)) for samples in padded]


class NormalizesItsBatch(Steps):
    def encode_batch(self, audios: Sequence[Audio]) -> list[Codes]:
        peak = max(float(audio.samples.abs().max()) for audio in audios)
        return [self.encode(Audio(audio.samples / peak, audio.sample_rate_hz)) for audio in audios]


class LosesOfItsBatch(Steps):
    def encode_batch(self, audios: Sequence[Audio]) -> list[Codes]:
        return super().encode_batch(audios[:1])


class RelabelsTheRate(Steps):
    def encode_batch(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self.encode(Audio(audio.samples, 16000)) for audio in audios]


class MixesChannels(Steps):
    def encode_batch(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self.encode(audio.to_channels(1)) for audio in audios]


class ReplacesNan(Steps):
    def encode_batch(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self.encode(Audio(torch.nan_to_num(audio.samples), audio.sample_rate_hz)) for audio in audios]


class ShortOutput(Steps):
    def _decode(self, streams: list[Tensor]) -> Tensor:
        return super()._decode(streams)[:, : -2 * HOP]


class TiresOfDecoding(Steps):
    """Decodes to silence what it decoded just before."""

    before: Tensor = torch.empty(0)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        is_repeated, self.before = torch.equal(streams[0], self.before), streams[0].clone()
        return super()._decode(streams) * (not is_repeated)


class KeepsTheAudio(Steps):
    """Cheats: what it decodes is the last audio that it encoded."""

    stash: Tensor | None = None

    def _encode(self, samples: Tensor) -> list[Tensor]:
        self.stash = samples.clone()
        return super()._encode(samples)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return super()._decode(streams) if self.stash is None else self.stash


class NeedsItsEncoder(KeepsTheAudio):
    def _decode(self, streams: list[Tensor]) -> Tensor:
        if self.stash is None:
            msg = "encode first"
            raise RuntimeError(msg)
        return super()._decode(streams)


class DividesByThePeak(Steps):
    def _encode(self, samples: Tensor) -> list[Tensor]:
        return super()._encode(samples / samples.abs().max())


class ReflectsAtTheEdge(Steps):
    def _encode(self, samples: Tensor) -> list[Tensor]:
        torch.nn.functional.pad(samples, (80, 80), mode="reflect")
        return super()._encode(samples)


class Drifts(Steps):
    """Advertises 100 frames per second and returns 99.8: less than one frame off in three seconds."""

    def _encode(self, samples: Tensor) -> list[Tensor]:
        codes = super()._encode(samples)[0]
        return [codes[:, : max(round(codes.shape[1] * 0.998), 1)]]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return torch.nn.functional.pad(super()._decode(streams), (0, 10 * HOP))


class ForgetsItsPast(Steps):
    """Follows the mean of all that came before, and says that it looks back no further than a frame."""

    context = Context(encode_before=1, encode_after=0)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        past = samples.cumsum(dim=1) / torch.arange(1, samples.shape[1] + 1)
        return super()._encode(samples - past)


class SumsAllItHas(ResidualCodec):
    """Of two codebooks, adds the second to whatever is chosen."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(2, 256, 100.0),))

    def _encode(self, samples: Tensor) -> list[Tensor]:
        first = Steps()._encode(samples)[0]
        return [torch.cat([first, 255 - first])]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        total = streams[0].sum(dim=0, keepdim=True) + streams[0][codebooks].sum(dim=0, keepdim=True)
        return (total / 1024).repeat_interleave(HOP, dim=1)


class DrawsItsLatents(Steps):
    def _latents(self, samples: Tensor) -> Tensor:
        return torch.rand(samples.shape[1] // HOP, 2)


class DrawsItsModel(Steps):
    """Codes by a model of codes that is another one in each instance."""

    @functools.cached_property
    def entropy_coder(self) -> EntropyCoder:
        training = {"num_steps": 1, "batch_size": 1, "crop_s": 1.0, "optimizer": {"learning_rate": 1e-3}}
        spec = EntropyCoding.model_validate({"num_layers": 1, "num_heads": 1, "dimension": 4, "training": training})
        return EntropyCoder(CodeLm(spec, num_codebooks=1, codebook_size=256, frame_rate_hz=100.0))


BROKEN: list[tuple[str, Callable[[], Tokenizer], str]] = [
    ("code_shape", FloatCodes, r"Codes are int64 \[K, F\].* returned float32 \[1, 230\]"),
    ("code_range", OutOfRange, r"codes from \d+ to \d+, outside of 0 \.\. 255"),
    ("frame_rate", TwiceAsManyFrames, r"advertises 100 frames per second but returned 460 frames for 2\.3000 s"),
    ("encode_determinism", TiresOfRepetition, r"stream 0: \d+ of 110 codes differ the second time"),
    ("order_independence", Remembers, r"codes differ after another utterance; reset all state in _encode"),
    ("batch", PadsItsBatch, r"\[1, 100\] became \[1, 190\] in a batch, for 1\.00 s"),
    ("batch", NormalizesItsBatch, r"codes differ in a batch, for 1\.00 s"),
    ("batch", LosesOfItsBatch, "1 results for 3 utterances"),
    (
        "wrong_rate",
        RelabelsTheRate,
        r"encode_batch accepted it; call Tokenizer\.encode, which raises SampleRateError",
    ),
    ("wrong_channels", MixesChannels, r"encode_batch accepted it; .* raises ChannelsError"),
    ("nan", ReplacesNan, r"encode_batch accepted it; .* raises NonFiniteAudioError"),
    ("decoded_length", ShortOutput, r"decoded 800 samples where 1000 were encoded"),
    ("decode_determinism", TiresOfDecoding, r"samples differ by up to .* the second time; seed its random numbers"),
    (
        "decode_from_codes",
        KeepsTheAudio,
        r"samples differ by up to .* by a fresh instance; keep nothing of _encode",
    ),
    ("decode_from_codes", NeedsItsEncoder, r"A fresh instance decodes .* Found: RuntimeError: encode first"),
    ("silence", DividesByThePeak, r"Digital silence is encoded .* outside of 0 \.\. 255"),
    ("one_sample", ReflectsAtTheEdge, r"A single sample is encoded, .* Found: RuntimeError: .*[Pp]adding"),
    ("chunks", ForgetsItsPast, r"codes differ in pieces; its context is too short"),
    ("chosen_codebooks", SumsAllItHas, r"samples differ by up to .* with other codes in codebooks not chosen"),
    ("entropy_coding", DrawsItsModel, r"coded it by the model \w{12}; the codec here has \w{12}"),
    ("latents", DrawsItsLatents, r"for 1 s the second time differs"),
    ("long_input", Drifts, r"advertises 100 frames per second but returned 5988 frames for 60\.0000 s"),
]


@pytest.mark.parametrize(("check", "make", "message"), BROKEN, ids=[f"{c}-{m.__name__}" for c, m, _ in BROKEN])
def test_a_broken_codec_fails_the_check_that_is_about_it(
    check: str, make: Callable[[], Tokenizer], message: str
) -> None:
    with pytest.raises(CheckFailedError, match=rf"{make.__name__}: {check}: .*{message}"):
        check_codec(make)


@pytest.mark.parametrize(("check", "make"), [(c, m) for c, m, _ in BROKEN], ids=[m.__name__ for _, m, _ in BROKEN])
def test_it_fails_no_other_check(check: str, make: type[Codec], tmp_path_factory: pytest.TempPathFactory) -> None:
    adapter = tmp_path_factory.mktemp("broken") / "adapter.py"
    adapter.write_text(f"from test_testing import {make.__name__}\n")
    results = run_checks(f"{adapter}:{make.__name__}")
    assert [result.name for result in results if result.status == "failed"] == [check]


def test_settings_in_the_wrong_order_are_refused() -> None:
    sizes = [functools.partial(Steps, codebook_size=size) for size in (16, 256, 4)]
    message = r"bitrate_order: .* the settings of Steps are not in the order .*: 400 bit/s, 800 bit/s, 200 bit/s"
    with pytest.raises(CheckFailedError, match=message):
        check_codec(Steps, settings=sizes)
    check_codec(Steps, settings=[sizes[2], sizes[0], sizes[1]])


def test_every_check_has_a_codec_that_breaks_it() -> None:
    assert {check for check, _, _ in BROKEN} | {"bitrate_order"} == {check.name for check in CHECKS}


def test_a_class_a_function_and_an_unused_instance_can_be_checked() -> None:
    check_codec(Steps)
    check_codec(lambda: Steps(codebook_size=8))
    check_codec(Steps(codebook_size=8))
    with pytest.raises(CheckFailedError, match="KeepsTheAudio: decode_from_codes: "):
        check_codec(KeepsTheAudio())


class Units(Tokenizer):
    """Encodes, and cannot decode."""

    def __init__(self) -> None:
        self.info = Steps().info

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return Steps()._encode(samples)


def test_what_only_encodes_is_spared_the_checks_of_a_decoder(tmp_path_factory: pytest.TempPathFactory) -> None:
    check_codec(Units)
    adapter = tmp_path_factory.mktemp("units") / "adapter.py"
    adapter.write_text("from test_testing import Units\n")
    results = run_checks(f"{adapter}:Units", long_input_s=1.0)
    skipped = {result.name: result.message for result in results if result.status == "skipped"}
    spared = ["decoded_length", "decode_determinism", "decode_from_codes", "chosen_codebooks"]
    assert skipped == dict.fromkeys(spared, "encodes only")


def test_the_length_of_the_long_input_can_be_chosen() -> None:
    check_codec(Drifts, long_input_s=1.5)
    with pytest.raises(CheckFailedError, match=r"long_input: .* 998 frames for 10\.0000 s"):
        check_codec(Drifts, long_input_s=10.0)


UNLOADABLE = {
    "class NeedsArgument(Steps):\n    def __init__(self, size): ...": "TypeError: .*missing 1 required .* 'size'",
    "class NoInfo(Steps):\n    def __init__(self): ...": "AttributeError: .* has no attribute 'info'",
    "class Exits(Steps):\n    def __init__(self): raise SystemExit": r"SystemExit \(adapter\.py:3, in __init__\)",
    "{}['tables']\nclass NeverMade: ...": r"KeyError: 'tables' \(adapter\.py:2, in <module>\)",
}


@pytest.mark.parametrize(("source", "found"), UNLOADABLE.items())
def test_a_codec_that_cannot_be_made_fails_before_the_suite(source: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "adapter.py").write_text(f"from test_testing import Steps\n{source}\n")
    name = source.partition("class ")[2].partition("(")[0].partition(":")[0]
    (result,) = run_checks(f"{tmp_path / 'adapter.py'}:{name}")
    assert (result.name, result.status) == ("loading", "failed")
    assert re.fullmatch(rf"The file is imported .*, and the class makes .* Found: {found}.*", result.message)


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"no codec named 'opuss'\. Did you mean 'opus'\?"):
        run_checks("opuss")


def test_results_say_which_setting_they_are_about() -> None:
    results = run_checks("mulaw:6bit", long_input_s=0.5)
    assert results[0] == CheckResult("mulaw:6bit", "code_shape", "passed", "")


def test_the_sound_codec_of_these_tests_is_sound() -> None:
    audio = Audio.from_numpy(np.repeat([0.5, -0.25], HOP), 16000)
    codec = Steps()
    assert codec.decode(codec.encode(audio)).samples[0, [0, HOP]].tolist() == pytest.approx(
        [0.5, -0.25], abs=1 / 255
    )
