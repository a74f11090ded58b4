"""ABX tasks: from intervals and codes to errors, with tokenizers whose answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import levels
from tiny.levels import HOP, RATE_HZ

from tokbench.codecs.base import ContinuousTokenizer, Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.errors import NotSupportedError, SpecError
from tokbench.records import MetricSummary
from tokbench.runners.abx import AbxRunner
from tokbench.runners.abx_items import labels_of
from tokbench.runners.base import Bench
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task

PHONES = ("a", "i", "u")


def runner(**arguments: object) -> AbxRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="abx",
            question="?",
            metrics=("abx_within", "abx_across"),
            arguments={"items": "phone", "context": "any", **arguments},
        )
    )
    assert isinstance(made, AbxRunner)
    return made


class Level(levels.Level):
    """Embeds both codes."""

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        values = streams[0] * torch.tensor([[10], [1]])
        return values[codebooks].sum(dim=0)[:, None].float()


LEVELS = {"a": 0.21, "i": 0.24, "u": 0.58}
"""Two of the three share the first code."""


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return utterances of three speakers, each phone of a level that the speaker has moved a little."""
    made, generator = [], np.random.default_rng(0)
    for speaker in range(3):
        for number in range(2):
            phones = [*PHONES, *generator.permutation(PHONES)]
            samples = np.concatenate([np.full(8 * HOP, LEVELS[phone] + 0.004 * speaker) for phone in phones])
            path = tmp_path / f"{speaker}-{number}.wav"
            soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
            intervals = [Interval(0.08 * n, 0.08 * (n + 1), phone) for n, phone in enumerate(phones)]
            made.append(
                Utterance(
                    id=path.stem,
                    path=path,
                    speaker=f"s{speaker}",
                    language="en",
                    text="first" if number == 0 else "second",
                    labels={"kind": f"k{number}"},
                    intervals=tuple(intervals),
                )
            )
    return made


def errors(
    made: AbxRunner, tokenizer: Tokenizer, utterances: list[Utterance]
) -> dict[tuple[str, str], float | None]:
    return {(found.name, found.group): found.value for found in summaries(made, tokenizer, utterances)}


def summaries(made: AbxRunner, tokenizer: Tokenizer, utterances: list[Utterance]) -> list[MetricSummary]:
    bench = Bench(tokenizer, "f", None)
    return made.summarise(made.measure(bench, item, with_examples=False).payload for item in utterances)


def test_what_the_codes_tell_apart_is_told_apart(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean"), Level(), utterances)
    assert found == {
        ("abx_within", "all"): 0.0,
        ("abx_across", "all"): 0.0,
        # The first code is the same for two of three phones: of six ordered pairs, two are a toss-up.
        ("abx_within", "codebook 1"): pytest.approx(0.5 / 3),
        ("abx_across", "codebook 1"): pytest.approx(0.5 / 3),
    }


def test_codes_themselves_may_be_compared(utterances: list[Utterance]) -> None:
    found = errors(runner(features="codes", distance="identical"), Level(), utterances)
    # A third speaker's levels are a code higher, and two codes differ as much as they would from any other.
    assert found["abx_within", "all"] == 0.0
    assert found["abx_across", "all"] == pytest.approx(0.5, abs=0.35)
    assert found["abx_within", "codebook 1"] == pytest.approx(0.5 / 3)


def test_continuous_features_have_no_codebooks(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean"), levels.LevelFeatures(), utterances)
    assert found == {("abx_within", "all"): 0.0, ("abx_across", "all"): 0.0}
    assert errors(runner(distance="euclidean", features="latents"), Level(), utterances) == found


def test_pooled_items_are_told_apart_as_well(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean", pooling="mean"), Level(), utterances)
    assert found["abx_across", "all"] == 0.0


def test_triphones_need_both_neighbours(utterances: list[Utterance]) -> None:
    made = runner(items="triphone", context="within", distance="euclidean")
    measurement = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False)
    assert measurement.facts["num_items"] == 4
    phones = runner().measure(Bench(Level(), "f", None), utterances[0], with_examples=False)
    assert phones.facts["num_items"] == 6


def test_whole_utterances_are_items_by_a_column(utterances: list[Utterance]) -> None:
    made = runner(items="utterance", category="kind")
    assert made.tier is None
    measured = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False)
    assert measured.facts["num_items"] == 1
    named = runner(items="utterance", category="nothing-of-that-name")
    assert named.measure(Bench(Level(), "f", None), utterances[0], with_examples=False).facts["num_items"] == 0


class Told(ContinuousTokenizer):
    """Features of 50 frames a second, drawn at random for each recording, which the level of its sound names."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(), name="told")

    @property
    def _hop_length(self) -> int:
        return RATE_HZ // 50

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(recordings()[0][round(float(samples[0, 0]) * 100)])


def recordings() -> tuple[list[np.ndarray], str]:
    """Return features [F, D] of eight recordings of 3 s, and an item file of phones in them."""
    generator = np.random.default_rng(11)
    features = [generator.standard_normal((150, 8)).astype(np.float32) for _ in range(8)]
    lines = ["#file onset offset #phone prev-phone next-phone speaker"]
    for number in range(8):
        at_s = 0.013
        while at_s < 2.8:
            duration_s = float(generator.uniform(0.05, 0.15))
            phone, (before, after) = generator.choice(list("abc")), generator.choice(list("xy"), 2)
            lines.append(f"rec{number} {at_s:.4f} {at_s + duration_s:.4f} {phone} {before} {after} s{number % 4}")
            at_s += duration_s
    return features, "\n".join(lines) + "\n"


@pytest.fixture
def listed(tmp_path: Path) -> list[Utterance]:
    """Return those recordings, with their item file beside them."""
    (tmp_path / "phones.item").write_text(recordings()[1])
    for number in range(8):
        soundfile.write(tmp_path / f"rec{number}.wav", np.full(3 * RATE_HZ, number / 100), RATE_HZ, subtype="FLOAT")
    return [Utterance(id=f"r/{number}", path=tmp_path / f"rec{number}.wav", speaker="?") for number in range(8)]


# Within speakers and across: fastabx 0.9 with Dataset.from_item; ABX_src of Libri-Light 3fb5006, whose numbers are
# also those of fastabx with FASTABX_WITH_LIBRILIGHT_BUG=1.
FASTABX = (0.5017945716778437, 0.48508793115615845)
LIBRI_LIGHT = (0.5261585712432861, 0.48672905564308167)


@pytest.mark.parametrize(("drop_last_frame", "expected"), [(False, FASTABX), (True, LIBRI_LIGHT)])
def test_items_of_a_file_have_the_errors_of_fastabx_and_of_libri_light(
    listed: list[Utterance],
    drop_last_frame: bool,  # noqa: FBT001
    expected: tuple[float, float],
) -> None:
    path = str(listed[0].path.parent / "phones.item")
    made = runner(
        items="phone", context="within", item_file=path, drop_last_frame=drop_last_frame, max_items=0, max_across=0
    )
    assert made.tier is None
    assert made.missing() is None
    assert len(made.fingerprint) == 64
    found = errors(made, Told(), listed)
    assert (found["abx_within", "all"], found["abx_across", "all"]) == pytest.approx(expected, abs=1e-6)


def test_torch_says_the_same_as_one_thread(listed: list[Utterance]) -> None:
    made = runner(item_file=str(listed[0].path.parent / "phones.item"))
    expected = errors(made, Told(), listed)
    made.device = "cpu:0"
    assert errors(made, Told(), listed) == pytest.approx(expected, abs=1e-6)


def test_a_missing_item_file_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: list[Utterance]
) -> None:
    monkeypatch.setenv("TOKBENCH_HOME", str(tmp_path / "home"))
    made = runner(item_file="phones.item")
    assert "no item file" in str(made.missing())
    assert str(tmp_path / "home" / "items" / "phones.item") in str(made.missing())
    (tmp_path / "home" / "items").mkdir(parents=True)
    (listed[0].path.parent / "phones.item").rename(tmp_path / "home" / "items" / "phones.item")
    assert made.missing() is None
    assert made.measure(Bench(Told(), "f", None), listed[0], with_examples=False).facts["num_items"] > 20  # type: ignore[operator]
    elsewhere = replace(listed[0], path=listed[0].path.with_stem("other"))
    listed[0].path.rename(elsewhere.path)
    assert made.measure(Bench(Told(), "f", None), elsewhere, with_examples=False).facts["num_items"] == 0


def syllables(utterance: Utterance, *labels: str) -> Utterance:
    intervals = tuple(Interval(0.08 * n, 0.08 * (n + 1), label) for n, label in enumerate(labels))
    return replace(utterance, intervals=intervals, language="cmn")


def test_tones_are_told_apart_on_the_same_syllable(utterances: list[Utterance]) -> None:
    made = runner(items="tone", context="within")
    assert made.tier == "syllable"
    labels = list(labels_of(syllables(utterances[0], "ma1", "ma4", "lv2"), 1.0, made.arguments))
    assert [(label.columns[0], label.columns[5]) for label in labels] == [("1", "ma"), ("4", "ma"), ("2", "lv")]
    english = replace(syllables(utterances[0], "ma1"), language="en")
    assert list(labels_of(english, 1.0, made.arguments)) == []
    # One and the same sound on two syllables: tones that differ only where the syllables do are not compared.
    spoken = [syllables(item, "ma1", "pa4") for item in utterances]
    assert errors(made, Level(), spoken)["abx_across", "all"] is None
    any_syllable = runner(items="tone", distance="euclidean")
    assert any_syllable.tier == "tone"
    spoken = [syllables(item, "1", "4") for item in utterances]
    assert errors(any_syllable, Level(), spoken)["abx_across", "all"] == 0.0


def test_syllables_and_words_are_items_of_their_own(utterances: list[Utterance]) -> None:
    for items in ("syllable", "word"):
        made = runner(items=items, distance="euclidean")
        assert made.tier == items
        found = errors(made, Level(), [syllables(item, "ma1", "ma4", "lv2") for item in utterances])
        assert found["abx_across", "all"] == 0.0


def test_why_there_is_no_number_is_told(utterances: list[Utterance]) -> None:
    found = {item.name: item for item in summaries(runner(distance="euclidean"), Level(), utterances[:2])}
    across = found["abx_across"]
    assert (across.value, across.num_ok, across.num_total) == (None, 0, 2)
    assert "no two speakers" in next(iter(across.reasons))
    nothing = summaries(runner(items="utterance", category="nothing"), Level(), utterances)
    assert all("nothing in this corpus" in next(iter(item.reasons)) for item in nothing)


def test_speakers_without_a_name_are_nobody(utterances: list[Utterance]) -> None:
    """And not all one person: who says what is not known of them."""
    made, unnamed = runner(distance="euclidean"), [replace(each, speaker="") for each in utterances]
    nothing = summaries(made, Level(), unnamed)
    assert all(item.value is None for item in nothing)
    assert all("of a speaker with a name" in next(iter(item.reasons)) for item in nothing)
    named = errors(made, Level(), utterances)
    assert errors(made, Level(), [*utterances, *unnamed]) == named


def test_codes_are_not_asked_of_what_has_none() -> None:
    assert runner(features="codes").needs_codes
    assert not runner(features="quantized").needs_codes


def test_what_failed_leaves_no_number(utterances: list[Utterance]) -> None:
    made = runner()
    payload = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False).payload
    found = made.summarise([payload, None])
    assert {(item.name, item.value, item.num_ok, item.num_total) for item in found} == {
        ("abx_within", None, 1, 2),
        ("abx_across", None, 1, 2),
    }


def test_one_speaker_cannot_be_compared_with_another(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean"), Level(), utterances[:2])
    assert found["abx_within", "all"] == 0.0
    assert found["abx_across", "all"] is None


class Irregular(Level):
    """Codes of no constant rate."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 10, None),), name="irregular")


class Bare(Level):
    """Codes without embeddings."""

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        return Tokenizer._quantized(self, streams, codebooks)


@pytest.mark.parametrize("tokenizer", [Irregular(), Bare()], ids=["irregular", "bare"])
def test_codes_without_a_place_or_an_embedding_are_told(tokenizer: Tokenizer, utterances: list[Utterance]) -> None:
    with pytest.raises(NotSupportedError, match=tokenizer.info.name):
        runner().measure(Bench(tokenizer, "f", None), utterances[0], with_examples=False)


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match=r"arguments.distance"):
        runner(distance="manhattan")
