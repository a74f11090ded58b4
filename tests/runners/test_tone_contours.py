"""Tasks on tone contours: with voices whose pitch is known, and codecs that do one thing to it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.errors import SpecError
from tokbench.leaderboard.spec import find_leaderboard
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.registry import make_runner
from tokbench.runners.tone_contours import ToneContourRunner
from tokbench.specs.task import Task, find_task

RATE_HZ = 16000
SYLLABLE_S = 0.3
TONES = {"1": (4, 4), "2": (0, 4), "4": (4, -4)}
"""Pitch at the beginning and at the end, in semitones above the speaker's middle."""


def voice(semitones: np.ndarray, base_hz: float) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(base_hz * 2 ** (semitones / 12)) / RATE_HZ
    return 0.2 * sum(np.sin(number * phase) / number for number in range(1, 9))


def spoken(tones: str, base_hz: float, shift: float = 0.0) -> np.ndarray:
    num_samples = round(SYLLABLE_S * RATE_HZ)
    pitch = np.concatenate([np.linspace(*TONES[tone], num_samples) for tone in tones])
    return voice(pitch + shift, base_hz)


class Edited(Codec):
    """Sixteen bits, of which the decoder makes what it was told to."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 65536, RATE_HZ),), name="edited")

    def __init__(self, decoded: np.ndarray | None = None) -> None:
        self.decoded = decoded

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(samples * 32767).round().long() + 32768]

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        if self.decoded is None:
            return (streams[0] - 32768) / 32767
        return torch.from_numpy(self.decoded.astype(np.float32))[None]


SPEAKERS = {"low": 100.0, "middle": 140.0, "high": 200.0}
ORDERS = ("124142", "412241")


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Return two utterances of six syllables of each of three speakers."""
    folder, made = tmp_path_factory.mktemp("tones"), []
    for speaker, base_hz in SPEAKERS.items():
        for order in ORDERS:
            path = folder / f"{speaker}-{order}.wav"
            soundfile.write(path, spoken(order, base_hz), RATE_HZ, "FLOAT")
            ends = SYLLABLE_S * np.arange(1, len(order) + 1)
            intervals = tuple(
                Interval(end - SYLLABLE_S, end, tone) for end, tone in zip(ends.tolist(), order, strict=True)
            )
            made.append(Utterance(id=path.stem, path=path, speaker=speaker, language="cmn", intervals=intervals))
    return made


def runner(**arguments: object) -> ToneContourRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="tone-contours",
            question="?",
            interval_by="speaker",
            metrics=ToneContourRunner.corpus_metrics,
            arguments={"min_items": 4, "within": "language", "num_seeds": 1, **arguments},
        )
    )
    assert isinstance(made, ToneContourRunner)
    return made


Found = dict[tuple[str, str], MetricSummary]


def found_of(codecs: list[Codec], utterances: list[Utterance], made: ToneContourRunner | None = None) -> Found:
    made = made or runner()
    payloads = [
        made.measure(Bench(codec, "f", None), item, with_examples=False).payload
        for codec, item in zip(codecs, utterances, strict=True)
    ]
    return {(found.name, found.group): found for found in made.summarise(payloads)}


@pytest.fixture(scope="module")
def copied(utterances: list[Utterance]) -> Found:
    return found_of([Edited()] * 6, utterances)


def edited(shift: float = 0.0, tones: str = "") -> list[Codec]:
    return [Edited(spoken(tones or order, base_hz, shift)) for base_hz in SPEAKERS.values() for order in ORDERS]


def test_a_copy_keeps_every_tone(copied: Found) -> None:
    assert copied["tone_f0_rmse_semitones", "all"].value == pytest.approx(0.0, abs=0.01)
    assert copied["tone_f0_correlation", "all"].value == pytest.approx(1.0, abs=1e-4)
    assert copied["tone_f0_kept", "all"].value == 1.0
    for name in ("tone_heard_accuracy", "tone_heard_accuracy_original"):
        assert copied[name, "all"].value == copied[name, "cmn"].value == 1.0
    assert copied["tone_heard_accuracy_drop", "all"].value == 0.0
    assert copied["tone_heard_chance", "all"].value == pytest.approx(1 / 3)
    assert not [group for name, group in copied if name == "tone_heard_confusion"]


def test_each_tone_and_language_has_its_numbers(copied: Found) -> None:
    groups = {group for name, group in copied if name == "tone_f0_rmse_semitones"}
    assert groups == {"all", "cmn", "cmn 1", "cmn 2", "cmn 4"}


def test_a_voice_that_was_moved_up_is_off_by_as_much(utterances: list[Utterance]) -> None:
    found = found_of(edited(shift=3.0), utterances)
    assert found["tone_f0_rmse_semitones", "cmn 2"].value == pytest.approx(3.0, abs=0.1)
    assert found["tone_f0_correlation", "cmn 2"].value == pytest.approx(1.0, abs=0.01)


def test_tones_that_became_others_are_heard_as_those(utterances: list[Utterance]) -> None:
    found = found_of(edited(tones="444444"), utterances)
    assert found["tone_heard_accuracy", "all"].value == pytest.approx(1 / 3)
    assert found["tone_heard_accuracy_drop", "all"].value == pytest.approx(2 / 3)
    confusions = {group: item.value for (name, group), item in found.items() if name == "tone_heard_confusion"}
    assert confusions == {"cmn 1 as 4": 1.0, "cmn 2 as 4": 1.0}
    assert found["tone_f0_correlation", "cmn 4"].value == pytest.approx(1.0, abs=0.02)
    rising = found["tone_f0_correlation", "cmn 2"].value
    assert rising is not None
    assert rising < -0.9


def test_without_pitch_nothing_is_heard(utterances: list[Utterance]) -> None:
    found = found_of([Edited(0 * spoken("444444", 100.0))] * 6, utterances)
    assert found["tone_f0_kept", "all"].value == 0.0
    assert found["tone_heard_accuracy", "all"].value == 0.0
    assert found["tone_f0_rmse_semitones", "all"].value is None
    assert found["tone_f0_rmse_semitones", "all"].reasons == {"no frame is voiced before and after": 6}
    assert found["tone_heard_confusion", "cmn 1 as nothing"].value == 1.0


def test_a_delay_is_no_change_of_tone(utterances: list[Utterance]) -> None:
    delayed = [
        Edited(np.concatenate([np.zeros(400), spoken(order, base_hz)]))
        for base_hz in SPEAKERS.values()
        for order in ORDERS
    ]
    found = found_of(delayed, utterances)
    error = found["tone_f0_rmse_semitones", "cmn 2"].value
    assert error is not None
    assert error < 0.2


def test_a_column_may_tell_the_tone_of_whole_utterances(tmp_path: Path) -> None:
    made = []
    for number in range(12):
        tone = "124"[number % 3]
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, spoken(tone, 120.0), RATE_HZ, "FLOAT")
        labels = {"tone": tone, "label": f"ma{number}"}
        made.append(Utterance(id=path.stem, path=path, speaker="one", labels=labels))
    asked = runner(target="tone", split="label", split_column="label", within="", num_folds=4)
    assert asked.tier is None
    found = found_of([Edited()] * 12, made, asked)
    assert found["tone_heard_accuracy", "all"].value == 1.0
    assert found["tone_f0_rmse_semitones", "2"].value == pytest.approx(0.0, abs=0.01)


def test_what_failed_leaves_no_number(utterances: list[Utterance]) -> None:
    made = runner()
    payload = made.measure(Bench(Edited(), "f", None), utterances[0], with_examples=False).payload
    found = made.summarise([payload, None])
    assert {item.name for item in found} == set(made.metrics)
    assert [(item.value, item.num_ok, item.num_total) for item in found] == [(None, 1, 2)] * len(made.metrics)


def test_too_few_speakers_leave_contours_and_no_judge(utterances: list[Utterance]) -> None:
    found = found_of([Edited()] * 2, utterances[:2])
    assert found["tone_f0_kept", "all"].value == 1.0
    assert found["tone_heard_accuracy", "all"].value is None
    assert next(iter(found["tone_heard_accuracy", "all"].reasons)).startswith("one group by speaker is too few")


def test_without_tones_there_is_nothing_to_compare(utterances: list[Utterance]) -> None:
    found = found_of([Edited()] * 6, utterances, runner(languages=["yue"]))
    assert found["tone_f0_kept", "all"].reasons == {"there is no item with a tone": 6}


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match=r"arguments.num_seeds"):
        runner(num_seeds=0)


@pytest.mark.parametrize("name", ["tone-contours", "tone-contours-syllables"])
def test_a_shipped_task_measures_all_there_is(name: str) -> None:
    assert set(find_task(name)[0].metrics) == set(ToneContourRunner.corpus_metrics)


def test_the_leaderboard_shows_what_its_tasks_measure() -> None:
    shown = find_leaderboard("tone")
    for key, column in shown.columns.items():
        assert column.metric in find_task(shown.task_of[key])[0].metrics
