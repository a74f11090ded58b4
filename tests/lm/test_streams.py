"""From contents to streams and back: runs, durations, pitches, channels, phones and labels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny.voices import voice
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.registry import load, one
from tokbench.codes import StreamInfo
from tokbench.corpora.pronunciation import pronounce
from tokbench.errors import NotSupportedError, UsageError
from tokbench.lm.crops import cropped, narrowed, shortened
from tokbench.lm.examples import Example, deduplicated, edges, only_edges
from tokbench.lm.pruning import pruned
from tokbench.lm.requantizing import code_vectors, nearest_codes
from tokbench.lm.sentences import Writing
from tokbench.lm.streams import ContentError, Streams, Tool, _informed, load_tools, phones_of, require_searchable
from tokbench.specs.codec import find_spec
from tokbench.specs.layouts import Delay
from tokbench.specs.lm import LmSpec, Part
from tokbench.specs.lm_streams import CodeSource
from tokbench.specs.scales import overlaid

RATE_HZ = 1600


class Steps(Codec):
    """Tells how loud each 20 ms are, in tenths of 1, as two codebooks that add up; and says it by constants."""

    def __init__(self, streams: tuple[StreamInfo, ...] = (StreamInfo(2, 8, 50.0),)) -> None:
        self.info = TokenizerInfo(name="steps", sample_rate_hz=RATE_HZ, streams=streams)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        levels = (10 * samples[0].reshape(-1, 32).mean(dim=1)).round().long()
        return [torch.stack([levels, 7 - levels])]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return (streams[0][:1] / 10).repeat_interleave(32, dim=1)


@pytest.fixture
def unseen() -> Audio:
    return voice(seed=100)


def tool(codec: Codec | None = None) -> Tool:
    return Tool(codec or Steps(), "steps:default", "0", "0")


def spec_of(streams: dict[str, Any]) -> LmSpec:
    return LmSpec.model_validate(
        {
            "name": "probe",
            "kind": "language-model",
            "title": "Probe",
            "source": "a test",
            "training": {"num_steps": 1, "batch_size": 1, "crop_s": 1.0, "optimizer": {"learning_rate": 1e-3}},
            "network": {
                "num_layers": 1,
                "num_heads": 2,
                "dimension": 16,
                "feedforward_dimension": 32,
                "context": 30,
            },
            "streams": streams,
            "stages": {"lm": {"forms": {"sc": {"outputs": [next(iter(streams))]}}}},
        }
    )


def stairs(levels: list[int]) -> Audio:
    return Audio.from_numpy(np.repeat(np.array(levels, np.float32) / 10, 32), RATE_HZ)


CODES = {"kind": "codes", "num_codebooks": 2, "codebook_size": 8, "frame_rate_hz": 50.0}


def test_codes_are_those_of_the_tokenizer_and_can_be_heard() -> None:
    spec = spec_of({"acoustic": CODES})
    streams = Streams(spec, {"acoustic": tool()})
    made = streams.made({"audio": stairs([1, 1, 3, 2])})["acoustic"]
    assert made.tolist() == [[1, 1, 3, 2], [6, 6, 4, 5]]
    torch.testing.assert_close(streams.audio("acoustic", made).samples, stairs([1, 1, 3, 2]).samples)


def test_another_stream_may_be_like_it_of_another_content() -> None:
    spec = spec_of({"acoustic": CODES, "prompt": {"kind": "codes", "of": "prompt", "like": "acoustic"}})
    streams = Streams(spec, {"acoustic": tool()})
    made = streams.made({"prompt": stairs([4])})
    assert {name: values.tolist() for name, values in made.items()} == {"prompt": [[4], [3]]}


def test_each_channel_is_tokenized_on_its_own_and_decoded_so() -> None:
    spec = spec_of({"acoustic": CODES | {"channels": 2}})
    streams = Streams(spec, {"acoustic": tool()})
    stereo = Audio(torch.cat([stairs([1, 2]).samples, stairs([5, 3]).samples]), RATE_HZ)
    made = streams.made({"audio": stereo})["acoustic"]
    assert made.tolist() == [[1, 2], [6, 5], [5, 3], [2, 4]]
    torch.testing.assert_close(streams.audio("acoustic", made).samples, stereo.samples)


def test_channels_that_a_codec_makes_two_of_are_still_one_each() -> None:
    class Doubling(Steps):
        def _decode(self, streams: list[Tensor]) -> Tensor:
            return super()._decode(streams).repeat(2, 1)

    stereo = Audio(torch.cat([stairs([1, 2]).samples, stairs([5, 3]).samples]), RATE_HZ)
    codec = Doubling()
    codec.info = replace(codec.info, num_channels=2)
    streams = Streams(spec_of({"acoustic": CODES | {"channels": 2}}), {"acoustic": tool(codec)})
    heard = streams.audio("acoustic", streams.made({"audio": stereo})["acoustic"])
    torch.testing.assert_close(heard.samples, stereo.samples)


@pytest.mark.parametrize(("setting", "num_codebooks"), [("4x256", 4), ("8x256", 8)])
def test_codebooks_of_the_same_number_of_either_side_are_equally_late(setting: str, num_codebooks: int) -> None:
    declared, _ = find_spec("musicgen-stereo", "tiny")
    assert isinstance(declared, LmSpec)
    _, spec = load_tools(declared, f"spectrogram-kmeans:{setting}")
    (part,) = (part for part in spec.stages["lm"].outputs.values())
    assert spec.stream(part.stream).sizes == (256,) * (2 * num_codebooks)  # type: ignore[union-attr]
    assert part.layout == Delay(kind="delay", delays=(*range(num_codebooks),) * 2)
    mono, _ = find_spec("musicgen", "tiny")
    assert isinstance(mono, LmSpec)
    assert load_tools(mono, f"spectrogram-kmeans:{setting}")[1].stages == mono.stages


UNITS = {"kind": "codes", "codebook_size": 8, "frame_rate_hz": 50.0, "end": 1}


def test_units_that_repeat_are_one_with_a_duration_that_decoding_undoes() -> None:
    class OneBook(Steps):
        def __init__(self) -> None:
            super().__init__((StreamInfo(1, 8, 50.0),))

        def _encode(self, samples: Tensor) -> list[Tensor]:
            return [super()._encode(samples)[0][:1]]

    spec = spec_of({"units": UNITS | {"durations": 3}})
    streams = Streams(spec, {"units": tool(OneBook())})
    audio = stairs([1, 1, 3, 2, 2, 2, 2])
    made = streams.made({"audio": audio})["units"]
    assert made.tolist() == [[1, 3, 2], [1, 0, 2]]  # four times is "three times or more"
    torch.testing.assert_close(streams.audio("units", made).samples, stairs([1, 1, 3, 2, 2, 2]).samples)
    spec = spec_of({"units": UNITS | {"durations": 9, "edges": True}})
    made = Streams(spec, {"units": tool()}).made({"audio": audio})["units"]
    assert made.tolist() == [[1, 1, 3, 2, 2, 2, 2], [1, -1, 0, 3, -1, -1, -1]]


def test_pitch_is_told_by_its_distance_from_the_mean_and_silence_by_0() -> None:
    """A tone an octave below another one: half an octave below and above the mean of their logarithms."""
    rate_hz = 16000
    time_s = np.arange(rate_hz) / rate_hz
    low, high = (sum(np.sin(2 * np.pi * k * f0 * time_s) / k for k in range(1, 8)) for f0 in (120, 240))
    samples = np.concatenate([0.1 * low, 0.3 * high, 0.0001 * np.ones(rate_hz)]).astype(np.float32)

    class Thirds(Steps):
        def __init__(self) -> None:
            super().__init__()
            self.info = TokenizerInfo(name="thirds", sample_rate_hz=rate_hz, streams=(StreamInfo(1, 4, 1.0),))

        def _encode(self, samples: Tensor) -> list[Tensor]:
            return [torch.arange(samples.shape[1] // rate_hz)[None]]

    spec = spec_of({"units": UNITS | {"durations": 2, "pitches": 9}})
    made = Streams(spec, {"units": tool(Thirds())}).made({"audio": Audio.from_numpy(samples, rate_hz)})["units"]
    # Eight bins over two octaves, four below and four above the mean: half an octave is the second one from there.
    assert made[2].tolist() in ([3, 7, 0], [2, 7, 0], [3, 6, 0])


def test_phones_and_labels_are_learnt_once_and_known_later() -> None:
    spec = spec_of(
        {
            "phones": {"kind": "text", "unit": "phones"},
            "mood": {"kind": "labels", "of": "mood"},
            "other": {"kind": "labels", "of": "other", "like": "mood"},
        }
    )
    learning = Streams(spec, {}, is_learning=True)
    first = learning.made({"text": "see", "mood": "glad", "other": "sad", "language": "en-us"})
    assert first["phones"].tolist() == [[0, 1]]
    assert (int(first["mood"]), int(first["other"])) == (0, 1)
    known = Streams(learning.spec, {})
    assert known.spec.streams["mood"].symbols == ("glad", "sad")  # type: ignore[union-attr]
    assert known.text("phones", first["phones"]) == " ".join(known.spec.streams["phones"].symbols)  # type: ignore[union-attr]
    assert known.made({"text": "seesaw", "language": "en-us"})["phones"].shape[1] >= 3
    with pytest.raises(ContentError, match="no symbol of the stream 'phones' is in the text 'ooh'"):
        known.made({"text": "ooh", "language": "en-us"})
    with pytest.raises(ContentError, match="no label 'angry' in the stream 'other', only glad, sad"):
        known.made({"other": "angry"})


def test_what_is_translated_is_spoken_in_its_own_language() -> None:
    spec = spec_of(
        {
            "phones": {"kind": "text", "unit": "phones"},
            "source_phones": {"kind": "text", "of": "source_text", "like": "phones"},
        }
    )
    texts = {"text": "seven", "source_text": "sieben"}
    streams = Streams(spec, {}, is_learning=True)

    def spoken(languages: dict[str, str]) -> dict[str, str]:
        made = streams.made(texts | languages)
        return {name: streams.text(name, symbols) for name, symbols in made.items()}

    english, german = " ".join(pronounce("seven", "en-us")), " ".join(pronounce("sieben", "de"))
    both = spoken({"language": "en-us", "source_language": "de"})
    assert both == {"phones": english, "source_phones": german}
    # An item of one language, such as speech of which a word is edited, tells but that.
    assert spoken({"language": "de"})["source_phones"] == german != english


def test_labels_may_be_units() -> None:
    spec = spec_of({"units": UNITS, "answer": {"kind": "labels", "of": "text", "like": "units"}})
    streams = Streams(spec, {"units": tool()}, is_learning=True)
    assert [int(streams.made({"text": word})["answer"]) for word in ("yes", "no", "yes")] == [0, 1, 0]
    assert streams.text("answer", torch.tensor([[1]])) == "no"
    assert streams.text("answer", torch.tensor([[7]])) == ""
    with pytest.raises(ContentError, match="there are more labels than the 8 codes of units"):
        [streams.made({"text": str(number)}) for number in range(9)]


def test_text_of_bytes_comes_back_and_half_letters_are_replaced() -> None:
    streams = Streams(spec_of({"text": {"kind": "text"}}), {})
    assert streams.text("text", streams.made({"text": "Đèn sáng"})["text"]) == "Đèn sáng"
    assert streams.text("text", torch.tensor([[0xC4, 0x41]])) == "\ufffdA"


WRONG = {
    "rates": (
        (StreamInfo(1, 8, 50.0, "semantic"), StreamInfo(2, 8, 25.0, "acoustic")),
        {},
        r"the streams of steps:default differ in rate or size .*; say which by --set streams.acoustic",
    ),
    "name": (
        (StreamInfo(1, 8, 50.0, "semantic"),),
        {"stream": "prosody"},
        "steps:default has no stream named 'prosody', but semantic 1 x 8 at 50 Hz",
    ),
    "codebooks": ((StreamInfo(2, 8, 50.0),), {"first": 2}, "steps:default has no codebook 2"),
    "durations": ((StreamInfo(2, 8, 50.0),), {"durations": 4}, "durations are of one codebook, and .* has 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_tokenizer_that_is_not_fit_is_told(name: str) -> None:
    infos, keys, sentence = WRONG[name]
    with pytest.raises(UsageError, match=sentence):
        _informed("acoustic", CodeSource.model_validate({"kind": "codes", **keys}), tool(Steps(infos)))


def searching(beam: int) -> LmSpec:
    """Return a model that looks by a beam for codes, and for text, which is always of one codebook."""
    found = spec_of({"codes": CODES, "text": {"kind": "text"}})
    forms = {"sc": {"outputs": ["codes"]}, "text": {"outputs": ["text"]}}
    changes = {"codec": ["codes"], "stages": {"lm": {"forms": forms, "sampling": {"beam": beam}}}}
    return LmSpec.model_validate(overlaid(found.model_dump(), changes))


def test_codes_of_several_codebooks_are_not_looked_for_by_a_beam() -> None:
    told = "stages.lm: a beam looks for codes of one codebook, and 'codes' has 4 of spectrogram-kmeans:4x256: "
    advice = "add --set stages.lm.sampling.beam=1, or take a tokenizer of one codebook, such as "
    with pytest.raises(UsageError) as caught:
        require_searchable(searching(5), "spectrogram-kmeans:4x256")
    assert str(caught.value) == told + advice + "spectrogram-kmeans:1x256"
    require_searchable(searching(5), "spectrogram-kmeans:1x256")
    require_searchable(searching(1), "spectrogram-kmeans:4x256")


def test_notes_are_not_looked_for_by_a_beam_either() -> None:
    spec = spec_of({"notes": {"kind": "notes"}})
    stages = {"lm": {"sampling": {"beam": 2}}}
    spec = LmSpec.model_validate(overlaid(spec.model_dump(), {"stages": stages}))
    with pytest.raises(UsageError, match=r"and 'notes' has 2: add --set stages.lm.sampling.beam=1$"):
        require_searchable(spec)


@pytest.mark.parametrize(
    ("text", "language", "problem"),
    [
        ("日本語", "en-us", "letters that en-us is not written in cannot be pronounced: 日 本 語"),
        ("Дж, yes", "de", "letters that de is not written in cannot be pronounced: Д ж"),
        ("日本語", "ja", "letters that ja is not written in cannot be pronounced: 日 本 語"),
        ("ハ", "ru", "letters that ru is not written in cannot be pronounced: ハ"),
        ("!!!", "en-us", "there is no letter and no digit to pronounce in the text '!!!'"),
        ("&", "fr", "there is no letter and no digit to pronounce in the text '&'"),
    ],
)
def test_what_espeak_would_only_name_is_told(text: str, language: str, problem: str) -> None:
    with pytest.raises(ContentError) as caught:
        phones_of(text, language)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Señor Åström naïvely", "en-us"),
        ("7 & ½, 5 µm, 1ª!", "es"),
        ("đèn sáng", "vi"),
        ("nǐ hǎo", "cmn"),
        ("привет OK", "ru"),
        ("こんにちは、スープ", "ja"),
        ("안녕", "ko"),
        ("नमस्ते", "hi"),
        ("مرحبا", "ar"),
        ("γεια", "el"),
        ("สวัสดี", "th"),
    ],
)
def test_a_language_is_said_in_its_own_letters_and_in_latin_ones(text: str, language: str) -> None:
    assert phones_of(text, language) == pronounce(text, language)


def test_what_is_no_whole_codec_cannot_be_heard() -> None:
    streams = Streams(spec_of({"units": UNITS}), {"units": tool()})
    with pytest.raises(NotSupportedError, match="steps does not offer decoding of 1 codebooks alone"):
        streams.audio("units", torch.zeros(1, 4, dtype=torch.int64))


def test_features_are_put_together_and_the_last_is_repeated() -> None:
    class Framed(Steps):
        def _latents(self, samples: Tensor) -> Tensor:
            return self._encode(samples)[0].T.float()

    spec = spec_of({"heard": {"kind": "features", "dimension": 4, "stacked": 2, "frame_rate_hz": 25.0}, "x": CODES})
    made = Streams(spec, {"heard": tool(Framed())}).made({"audio": stairs([1, 3, 2])}, ["heard"])["heard"]
    assert made.tolist() == [[1, 6, 3, 4], [2, 5, 2, 5]]


def test_runs_and_edges() -> None:
    codes = torch.tensor([[3, 3, 5, 5, 3], [1, 2, 2, 2, 2]])
    assert edges(codes).tolist() == [True, True, True, False, True]
    assert deduplicated(codes[:1]).tolist() == [[3, 5, 3]]
    assert only_edges(codes, 2).tolist() == [[3, -1, 5, -1, 3], [1, 2, -1, -1, -1]]


def test_pieces_are_cut_alike_in_time() -> None:
    spec, _ = find_spec("audiolm", "tiny", changes={"stages": {"coarse": {"crop_s": 4.0}}})
    assert isinstance(spec, LmSpec)
    semantic, acoustic = torch.arange(200)[None], torch.arange(400).expand(12, -1)
    starts = set()
    for seed in range(8):
        torch.manual_seed(seed)
        piece = cropped(
            Writing(spec, "coarse"),
            "sc",
            Example({"semantic": semantic, "acoustic": acoustic}, "sc", duration_s=8.0),
        )
        first = int(piece.streams["semantic"][0, 0])
        starts.add(first)
        assert piece.streams["semantic"].tolist() == [list(range(first, first + 100))]
        assert piece.streams["acoustic"][3].tolist() == list(range(2 * first, 2 * first + 200))
        assert piece.duration_s == 4.0
        assert piece.is_ended == (first == 100)
    assert len(starts) > 3
    cut = narrowed(
        spec, {"semantic": semantic, "acoustic": acoustic}, {"semantic": 25.0, "acoustic": 50.0}, 7.6, 0.8
    )
    assert {name: values.shape[1] for name, values in cut.items()} == {"semantic": 10, "acoustic": 20}


def test_what_has_a_text_is_not_cut_and_enrolment_is() -> None:
    spec, _ = find_spec("speechx", "tiny")
    assert isinstance(spec, LmSpec)
    streams = {
        "phones": torch.zeros(1, 9, dtype=torch.int64),
        "acoustic": torch.zeros(8, 900, dtype=torch.int64),
        "prompt": torch.arange(900).expand(8, -1),
    }
    piece = cropped(Writing(spec, "nar"), "tts", Example(streams, "tts"))
    assert piece.streams["acoustic"].shape == (8, 900)
    assert piece.streams["prompt"].shape == (8, 225)
    part = spec.stages["nar"].part("voice")
    assert shortened(spec, part, streams["prompt"])[0].tolist() == list(range(225))
    assert shortened(spec, Part(stream="prompt"), streams["prompt"]).shape == (8, 900)


def test_stages_without_codebooks_are_left_out() -> None:
    declared, _ = find_spec("audiolm", "tiny")
    assert isinstance(declared, LmSpec)

    def stages_with(num_codebooks: int) -> list[str]:
        source = declared.streams["acoustic"].model_copy(update={"num_codebooks": num_codebooks})
        return list(
            pruned(declared.model_copy(update={"streams": {**declared.streams, "acoustic": source}})).stages
        )

    assert stages_with(8) == ["semantic", "coarse", "fine"]
    assert stages_with(4) == ["semantic", "coarse"]
    single, _ = find_spec("valle", "tiny")
    assert isinstance(single, LmSpec)
    one = single.streams["acoustic"].model_copy(update={"num_codebooks": 1})
    found = pruned(single.model_copy(update={"streams": {**single.streams, "acoustic": one}}))
    assert list(found.stages) == ["ar"]
    only = found.model_copy(update={"stages": {"nar": single.stages["nar"]}})
    with pytest.raises(UsageError, match="valle: its streams have none of the codebooks"):
        pruned(only)


def test_quantized_features_are_those_of_the_tokenizer() -> None:
    class Summed(Steps):
        def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
            return streams[0][codebooks].sum(dim=0)[:, None].float()

    source = {"kind": "features", "features": "quantized", "dimension": 1, "frame_rate_hz": 50.0}
    streams = Streams(spec_of({"x": CODES, "sum": source}), {"sum": tool(Summed())})
    made = streams.made({"audio": stairs([1, 3])}, ["sum"])["sum"]
    assert made.tolist() == [[7.0], [7.0]]


@pytest.mark.parametrize("setting", ["1x256", "4x256"])
def test_a_sum_of_codes_is_heard_as_the_codes_are(setting: str, unseen: Audio) -> None:
    """Codes that are near to the sum, found anew, are nearly those that it was made of."""
    reference = one(f"spectrogram-kmeans:{setting}")
    codec = load(reference)
    assert isinstance(codec, Codec)
    codes = codec.encode(unseen.resample(codec.info.sample_rate_hz))
    (stream,) = codec.info.streams
    given = {"codebook_size": stream.codebook_size, "num_codebooks": stream.num_codebooks}
    features = codec.quantized(codes)
    size = {"features": "quantized", "dimension": features.values.shape[1], "frame_rate_hz": stream.frame_rate_hz}
    spec = spec_of({"x": CODES | given, "sum": {"kind": "features", **size}})
    found = nearest_codes(features.values, code_vectors(codec))
    left = codec.quantized(replace(codes, streams=(replace(codes.streams[0], indices=found),))).values
    distance = (left - features.values).square().mean()
    assert float(distance) < 0.05 * float((features.values - features.values.mean(dim=0)).square().mean())
    if setting == "1x256":
        assert torch.equal(found, codes.streams[0].indices)
    streams = Streams(spec, {"sum": Tool(codec, "spectrogram-kmeans", "0", "0"), "x": tool()})
    assert streams.audio("sum", features.values).duration_s == pytest.approx(unseen.duration_s, abs=0.04)


def test_what_tells_of_any_piece_does_not_keep_it_whole() -> None:
    """MusicLM (arXiv:2301.11325, section 4.1) crops 10 s for its coarse stage, of 30 s with one description."""
    spec, _ = find_spec("musiclm", "paper")
    assert isinstance(spec, LmSpec)
    streams = {
        "joint": torch.zeros(12, 1, dtype=torch.int64),
        "semantic": torch.arange(750)[None],
        "acoustic": torch.arange(1500).expand(12, -1),
    }
    piece = cropped(Writing(spec, "coarse"), "mg", Example(streams, "mg", duration_s=30.0))
    assert {name: each.shape[1] for name, each in piece.streams.items()} == {
        "joint": 1,
        "semantic": 250,
        "acoustic": 500,
    }
    assert int(piece.streams["acoustic"][0, 0]) == 2 * int(piece.streams["semantic"][0, 0])
