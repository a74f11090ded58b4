"""Intelligibility tasks: with a recognizer that writes down what it is told, and with a real one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny.whistled import QUICK, write_whistled

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.espeak import Voice, speak
from tokbench.corpora.registry import open_corpus
from tokbench.errors import CorpusError, SpecError
from tokbench.judges.base import Recognizer
from tokbench.run.plan import Options, build_plan
from tokbench.runners.base import Bench, Measurement
from tokbench.runners.intelligibility import IntelligibilityRunner
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task, find_task

RATE_HZ = 16000
WORDS = ("red", "green", "blue", "white", "black", "brown")


class ByLevel(Recognizer):
    """Hears a word for each tenth of a second: the louder, the later in the list, and nothing in silence."""

    packages = {"numpy": "numpy"}  # noqa: RUF012  (as its base has it)
    name = "by-level"
    files = (Path(__file__),)

    def knows(self, language: str) -> bool:
        return language != "xx"

    def spells_like(self, text: str, language: str) -> bool:
        return language != "cmn" or not text.isascii()

    def _transcribe(self, samples: np.ndarray, language: str) -> str:
        levels = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600).mean(axis=1)
        return " ".join(WORDS[round(10 * float(level)) - 1] for level in levels if level > 0.05)


class OnlyEnglish(ByLevel):
    """Knows tags as recognizers do."""

    def knows(self, language: str) -> bool:
        return language.partition("-")[0] == "en"


class Duller(Codec):
    """Sixteen bits, softer by a tenth: each word becomes the one before it, and the first becomes nothing."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 65536, RATE_HZ),), name="duller")

    def __init__(self, loss: float = 0.1) -> None:
        self.loss = loss

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(samples * 32767).round().long() + 32768]

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        return (streams[0] - 32768) / 32767 - self.loss


def runner(*, metrics: tuple[str, ...] = ("wer", "cer", "dwer"), **arguments: object) -> IntelligibilityRunner:
    made = make_runner(
        Task(name="t", version=1, kind="intelligibility", question="?", metrics=metrics, arguments=arguments)
    )
    assert isinstance(made, IntelligibilityRunner)
    return made


@pytest.fixture
def known_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokbench.judges.registry._find", lambda *_, **__: ByLevel())


@pytest.fixture
def utterance(tmp_path: Path) -> Utterance:
    """Return what sounds like ``red blue black`` and is said to be ``red green black``."""
    samples = np.repeat([0.1, 0.3, 0.5], 1600)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    return Utterance(id="a", path=tmp_path / "a.wav", language="en", text="Red, green; black.")


def measured(made: IntelligibilityRunner, utterance: Utterance, codec: Codec | None = None) -> Measurement:
    return made.measure(Bench(codec or Duller(), "f", None), utterance, with_examples=False)


@pytest.mark.usefixtures("known_judge")
def test_errors_are_counted_against_the_text_and_against_the_original(utterance: Utterance) -> None:
    found = measured(runner(), utterance)
    # One word of the text is gone and one is another; all words of the transcript of the original are others.
    assert found.facts == {
        "substitutions": 1,
        "deletions": 1,
        "insertions": 0,
        "transcript": "green white",
        "transcript_of_original": "red blue black",
    }
    assert (found.scores["wer"].total, found.scores["wer"].weight) == (2, 3)
    assert (found.scores["dwer"].total, found.scores["dwer"].weight) == (3, 3)
    # "red " is gone, and no letter of "black" is left.
    assert (found.scores["cer"].total, found.scores["cer"].weight) == (9, 15)
    assert not found.failures


@pytest.mark.usefixtures("known_judge")
def test_a_copy_has_the_errors_of_the_recognizer_alone(utterance: Utterance) -> None:
    found = measured(runner(), utterance, Duller(0.0))
    assert found.scores["wer"].total == 1
    assert found.scores["dwer"].total == 0


@pytest.mark.usefixtures("known_judge")
def test_without_a_text_only_the_original_can_be_compared_with(utterance: Utterance, tmp_path: Path) -> None:
    silent = Utterance(id="s", path=utterance.path, language="en")
    found = measured(runner(), silent)
    assert list(found.scores) == ["dwer"]
    assert found.failures["wer"].is_not_applicable
    assert found.failures["cer"].reason == "there is no text to compare with"
    soundfile.write(tmp_path / "none.wav", np.zeros(3200), RATE_HZ)
    nothing = measured(runner(), Utterance(id="n", path=tmp_path / "none.wav", text="red"), Duller(0.0))
    assert nothing.failures["dwer"].reason == "no word was heard in the original"
    assert nothing.facts["deletions"] == 1


@pytest.mark.usefixtures("known_judge")
def test_what_the_recognizer_cannot_know_counts_for_no_codec(utterance: Utterance) -> None:
    foreign = Utterance(id="x", path=utterance.path, language="xx", text="red")
    found = measured(runner(), foreign)
    assert {name: failure.is_not_applicable for name, failure in found.failures.items()} == {
        "wer": True,
        "cer": True,
        "dwer": True,
    }
    assert found.failures["wer"].reason == "by-level does not know the language xx"
    held = runner(vocabulary=["red", "green"])
    assert measured(held, utterance).failures["dwer"].reason == "the text is not in the vocabulary of the task"


@pytest.mark.parametrize("written", ["EN", "en_US", "En-us"])
def test_a_language_is_known_however_its_tag_is_written(utterance: Utterance, written: str) -> None:
    made = runner(metrics=("wer",))
    made.__dict__["_judge"] = OnlyEnglish()
    found = measured(made, replace(utterance, language=written))
    assert found.scores == measured(made, utterance).scores
    assert "wer" in found.scores
    other = measured(made, replace(utterance, language="english"))
    assert other.failures["wer"].reason == "by-level does not know the language english"


@pytest.mark.usefixtures("known_judge")
def test_a_text_in_another_script_is_not_compared_with(utterance: Utterance) -> None:
    found = measured(runner(), Utterance(id="p", path=utterance.path, language="cmn", text="mei4 mei5"))
    assert list(found.scores) == ["dwer"]
    for name in ("wer", "cer"):
        assert found.failures[name].is_not_applicable
        assert found.failures[name].reason == "the text is not in the script in which by-level writes cmn"
    written = measured(runner(), Utterance(id="h", path=utterance.path, language="cmn", text="妹妹"))
    assert set(written.scores) == {"wer", "cer", "dwer"}


@pytest.mark.usefixtures("known_judge")
def test_the_original_is_heard_only_where_it_is_asked_for(utterance: Utterance) -> None:
    found = measured(runner(metrics=("wer",)), utterance)
    assert list(found.scores) == ["wer"]
    assert "transcript_of_original" not in found.facts


@pytest.mark.usefixtures("known_judge")
def test_the_record_names_the_judge() -> None:
    assert {metric.judge for metric in runner().metrics.values()} == {ByLevel().label}
    assert runner().fingerprint.startswith(f"{ByLevel().label}, jiwer ")


def test_a_real_recognizer_hears_digits_in_a_copy(tmp_path: Path) -> None:
    made = make_runner(find_task("digits-asr")[0])
    assert isinstance(made, IntelligibilityRunner)
    for text in ("seven", "three"):
        speech = speak(text, Voice("en-us"))
        soundfile.write(tmp_path / f"{text}.wav", speech.samples, speech.sample_rate_hz)
        utterance = Utterance(id=text, path=tmp_path / f"{text}.wav", language="en", text=text)
        found = measured(made, utterance, Duller(0.0))
        assert found.facts["transcript"] == text
        assert (found.scores["wer"].total, found.scores["dwer"].total) == (0, 0)


@pytest.mark.parametrize("name", ["intelligibility", "intelligibility-whisper", "digits-asr", "keywords-asr"])
def test_each_task_says_what_its_judge_lacks(name: str) -> None:
    lack = make_runner(find_task(name)[0]).missing()
    assert (lack is not None) == (name == "intelligibility-whisper")
    assert lack is None or "Put base.pt of OpenAI's Whisper" in lack


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"vocabulary": "corpus"}, r"arguments\.vocabulary"),
        ({"judge": "ctc"}, "expected a lesson for the judge ctc"),
        ({"lesson": {"units": "phones"}}, "expected a lesson for the judge ctc, and for no other"),
        ({"judge": "ctc", "lesson": {"units": "phones"}}, "a recognizer of phones has no cer, dwer, wer"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        runner(**arguments)


class Shifted(Duller):
    """Plays everything a fifth higher."""

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        decoded = (streams[0] - 32768) / 32767
        places = (torch.arange(decoded.shape[1]) * 1.5).long() % decoded.shape[1]
        return decoded[:, places]


def taught(manifest: Path, *, units: str, metrics: tuple[str, ...], part: str = "?split=test") -> Task:
    return Task(
        name="t",
        version=1,
        kind="intelligibility",
        question="?",
        corpus=f"manifest:{manifest}{part}",
        metrics=metrics,
        arguments={"judge": "ctc", "lesson": {"units": units, "recipe": QUICK.model_dump()}},
    )


@pytest.mark.parametrize(
    ("units", "metrics"), [("characters", ("wer", "cer", "dwer")), ("phones", ("per", "dper"))]
)
def test_a_recognizer_is_taught_on_originals_and_hears_what_a_codec_makes_of_others(
    units: str, metrics: tuple[str, ...], tmp_path: Path
) -> None:
    task = taught(write_whistled(tmp_path, aligned=units == "phones"), units=units, metrics=metrics)
    made = make_runner(task)
    assert isinstance(made, IntelligibilityRunner)
    assert made.missing() is None
    assert made.tier == ("phone" if units == "phones" else None)
    assert {metric.judge for metric in made.metrics.values()} == {None}
    made.prepare()
    (judge,) = {metric.judge for metric in made.metrics.values()}
    assert judge is not None
    assert judge.startswith(f"ctc:{units} ")
    assert made.fingerprint.startswith(judge)
    corpus = open_corpus(task.corpus)
    utterances = list(corpus.with_intervals("phone") if made.tier else corpus)
    rates = {}
    for codec in (Duller(0.0), Shifted()):
        found = [measured(made, utterance, codec) for utterance in utterances]
        rates[type(codec)] = {
            name: sum(item.scores[name].total for item in found) / sum(item.scores[name].weight for item in found)
            for name in metrics
        }
    for name in metrics:
        assert rates[Duller][name] < 0.25
        assert rates[Shifted][name] > 0.5
    # Both networks have a reading: the errors, and the labels, of both are counted.
    text = utterances[0].text
    count = {"wer": text.split(), "per": text.replace(" ", "")}[metrics[0]]
    assert found[0].scores[metrics[0]].weight == 2 * len(count)


def test_a_recognizer_is_taught_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = taught(write_whistled(tmp_path, number=12), units="characters", metrics=("wer",))
    first = make_runner(task)
    first.prepare()

    def teach(*_: object) -> None:
        pytest.fail("it was taught again")

    monkeypatch.setattr("tokbench.training.recognizer.teach_recognizer", teach)
    second = make_runner(task)
    second.prepare()
    assert second.fingerprint == first.fingerprint


def test_what_cannot_be_taught_is_skipped_with_a_reason(tmp_path: Path) -> None:
    manifest = write_whistled(tmp_path, number=8)
    for part, reason in (
        ("", "ask for a part, such as split=test"),
        ("?split=train", "split=train is learnt from"),
        ("?split=test&speaker=s9", "no row has"),
    ):
        lack = make_runner(taught(manifest, units="characters", metrics=("wer",), part=part)).missing()
        assert reason in str(lack)
    silent = tmp_path / "silent.csv"
    silent.write_text("path,split\n0.wav,train\n1.wav,test\n")
    lack = make_runner(taught(silent, units="phones", metrics=("per",))).missing()
    assert "tells of no utterance what is said" in str(lack)
    asked = taught(manifest, units="characters", metrics=("wer",))
    lesson = {**asked.arguments["lesson"], "corpus": f"manifest:{manifest}"}
    mixed = make_runner(asked.model_copy(update={"arguments": {**asked.arguments, "lesson": lesson}}))
    with pytest.raises(CorpusError, match="is learnt from"):
        mixed.prepare()


def test_what_no_network_heard_in_the_original_did_not_change(utterance: Utterance, tmp_path: Path) -> None:
    made = make_runner(taught(write_whistled(tmp_path, number=8), units="characters", metrics=("dwer",)))
    made.__dict__["_judge"] = ByTurns()
    found = measured(made, utterance)
    # Of the network that heard "red" and then "red blue" one word is wrong; the other one has no say.
    assert (found.scores["dwer"].total, found.scores["dwer"].weight) == (1, 1)
    made.__dict__["_judge"] = ByTurns("")
    assert measured(made, utterance).failures["dwer"].reason == "no word was heard in the original"


class ByTurns(ByLevel):
    """Has two networks, of which one hears nothing in what it is asked of second: the original."""

    def __init__(self, word: str = "red") -> None:
        self.answers = iter([[f"{word} blue", "green"], [word, ""]])

    def _readings(self, samples: np.ndarray, language: str) -> list[str]:
        return next(self.answers)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("intelligibility-whisper", "Put base.pt of OpenAI's Whisper"),
        ("phones-ctc", "ask for a part, such as split=test"),
    ],
)
def test_a_cell_without_its_judge_is_skipped_before_anything_runs(task: str, reason: str, tmp_path: Path) -> None:
    manifest = write_whistled(tmp_path / "corpus", number=4)
    options = Options(results=tmp_path / "results", corpus=f"manifest:{manifest}")
    (cell,) = build_plan(["identity"], [task], options)
    assert reason in str(cell.skip_reason)
