"""The same text by other speakers, with codes that are written into the samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.errors import NotSupportedError, SpecError
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Runner
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task, find_task

RATE_HZ, HOP, SIZE = 8000, 80, 8
SAME, OTHER, INVARIANCE = "same_text_edit_distance", "other_text_edit_distance", "speaker_invariance"
Found = dict[tuple[str, str], MetricSummary]


class Written(Tokenizer):
    """Reads its codes from the samples: the first two of each frame are those of two codebooks."""

    def __init__(self, num_streams: int = 1) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=RATE_HZ,
            streams=tuple(StreamInfo(2, SIZE * (1 + n), RATE_HZ / HOP) for n in range(num_streams)),
            name="written",
        )

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        frames = samples[0].reshape(-1, HOP)[:, :2].T
        return [(frames * SIZE).round().long().clamp(0, SIZE - 1)] * len(self.info.streams)


def runner(**arguments: object) -> Runner:
    shipped = find_task("other-speakers")[0].model_dump()
    return make_runner(Task.model_validate({**shipped, "arguments": arguments}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def said(folder: Path, name: str, codes: Sequence[Sequence[int]], **fields: object) -> Utterance:
    samples = np.zeros((len(codes[0]), HOP))
    samples[:, :2] = np.array(codes).T / SIZE
    path = folder / f"{name}.wav"
    soundfile.write(path, samples.ravel(), RATE_HZ, subtype="FLOAT")
    return Utterance(id=name, path=path, **{"language": "en", **fields})  # type: ignore[arg-type]


def summarised(made: Runner, utterances: Sequence[Utterance]) -> Found:
    bench = Bench(Written(), "f", None)
    payloads = [made.measure(bench, item, with_examples=False).payload for item in utterances]
    return {(item.name, item.group): item for item in made.summarise(payloads)}


def test_edits_are_those_counted_by_hand(folder: Path) -> None:
    utterances = [
        said(folder, "a1", [[1, 1, 2, 3], [1, 2, 3, 4]], speaker="a", text="one"),
        said(folder, "b1", [[1, 2, 2, 4], [5, 6, 7, 5]], speaker="b", text="one"),
        said(folder, "a2", [[5, 5, 5, 5], [1, 2, 3, 4]], speaker="a", text="two"),
        said(folder, "b2", [[5, 5, 6, 6], [5, 6, 7, 5]], speaker="b", text="two"),
    ]
    found = summarised(runner(), utterances)
    # Units of the first codebook: 123 and 124 for one, 5 and 56 for two. Edits, both ways: 1 and 1 of 3 and 3
    # units, 1 and 1 of 1 and 2. Another text: 123 to 56 and 124 to 5, 3 and 3; 5 to 124 and 56 to 123, 3 and 3.
    assert found[SAME, "codebook 1"].value == pytest.approx(4 / 9)
    assert found[OTHER, "codebook 1"].value == pytest.approx(12 / 9)
    assert found[INVARIANCE, "codebook 1"].value == pytest.approx(1 - 4 / 12)
    # The second codebook knows the speaker and nothing else: whatever is said, all four units are to be replaced.
    assert found[SAME, "codebook 2"].value == pytest.approx(1.0)
    assert found[INVARIANCE, "codebook 2"].value == pytest.approx(0.0)
    for name in (SAME, OTHER, INVARIANCE):
        mean = np.mean([found[name, f"codebook {number}"].value for number in (1, 2)])  # type: ignore[misc]
        assert found[name, "all"].value == pytest.approx(mean)


def test_codes_that_are_the_text_are_invariant_and_codes_that_are_nothing_are_not(folder: Path) -> None:
    generator, utterances = np.random.default_rng(0), []
    for text in range(6):
        units = generator.integers(0, SIZE, 20)
        for speaker in "abc":
            codes = [np.repeat(units, 1 + "abc".index(speaker)), np.full(20 * (1 + "abc".index(speaker)), 3)]
            utterances.append(said(folder, f"{text}{speaker}", codes, speaker=speaker, text=str(text)))  # type: ignore[arg-type]
    found = summarised(runner(), utterances)
    assert found[INVARIANCE, "codebook 1"].value == 1.0
    assert found[SAME, "codebook 1"].value == 0.0
    assert (found[SAME, "codebook 2"].value, found[INVARIANCE, "codebook 2"].value) == (0.0, 0.0)
    assert found[OTHER, "codebook 1"].low < found[OTHER, "codebook 1"].value < found[OTHER, "codebook 1"].high  # type: ignore[operator]


@pytest.mark.parametrize("others", [1, 6])
def test_codes_by_chance_are_not_invariant_however_long_texts_are(others: int, folder: Path) -> None:
    """Readings of one text are alike in length, other texts are not: that alone says nothing of the codes."""
    generator, utterances = np.random.default_rng(0), []
    for text, length in enumerate(generator.integers(30, 300, 40)):
        for speaker in "ab":
            name = f"{speaker}{text % (40 // (1 + others))}"
            codes = generator.integers(0, SIZE, (2, round(length * generator.uniform(0.95, 1.05))))
            utterances.append(said(folder, f"{text}{speaker}", codes, speaker=name, text=str(text)))  # type: ignore[arg-type]
    assert summarised(runner(), utterances)[INVARIANCE, "all"].value == pytest.approx(0.0, abs=0.01)


def test_another_text_is_what_else_is_said_cut_to_the_length_of_the_same(folder: Path) -> None:
    utterances = [
        said(folder, "a1", [[1, 2, 3, 4, 5]] * 2, speaker="a", text="one"),
        said(folder, "b1", [[1, 2, 3, 4, 6]] * 2, speaker="b", text="one"),
        said(folder, "a2", [[7, 1]] * 2, speaker="a", text="two"),
        said(folder, "b2", [[1, 2]] * 2, speaker="b", text="three"),
        said(folder, "b3", [[3, 7, 7, 7, 7, 7]] * 2, speaker="b", text="four"),
    ]
    found = summarised(runner(), utterances)
    assert found[SAME, "all"].value == pytest.approx((1 + 1) / 10)
    # 12345 to 12377, which is 1237 in units, and 12346 to 71717.
    assert found[OTHER, "all"].value == pytest.approx((2 + 5) / 10)


def test_a_recording_without_a_speaker_is_nobody_elses(folder: Path) -> None:
    utterances = [
        said(folder, "a1", [[1, 2]] * 2, speaker="a", text="one"),
        said(folder, "a2", [[3, 4]] * 2, speaker="a", text="two"),
        said(folder, "n1", [[5, 6]] * 2, text="one"),
        said(folder, "n2", [[7, 6]] * 2, text="two"),
    ]
    summary = summarised(runner(), utterances)[SAME, "all"]
    assert summary.value is None
    assert "no two speakers say the same" in next(iter(summary.reasons))


def test_texts_are_drawn_for_the_interval(folder: Path) -> None:
    generator, utterances = np.random.default_rng(1), []
    edits, units = [], []
    for text in range(12):
        first = np.tile(generator.permutation(SIZE), 2)
        second = first.copy()
        places = generator.choice(16, text % 4, replace=False)
        second[places] = (second[places] + 3) % SIZE
        for speaker, codes in (("a", first), ("b", second)):
            utterances.append(said(folder, f"{text}{speaker}", [codes, codes], speaker=speaker, text=str(text)))
        runs = [int(1 + (codes[1:] != codes[:-1]).sum()) for codes in (first, second)]
        edits.append(2 * levenshtein(dedup(first), dedup(second)))
        units.append(sum(runs))
    found = summarised(runner(), utterances)[SAME, "all"]
    assert found.value == pytest.approx(sum(edits) / sum(units))
    drawn = np.random.default_rng(3).integers(0, 12, (4000, 12))
    ratios = np.array(edits)[drawn].sum(axis=1) / np.array(units)[drawn].sum(axis=1)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])), abs=0.012)


def dedup(codes: np.ndarray) -> list[int]:
    return [int(code) for place, code in enumerate(codes) if place == 0 or code != codes[place - 1]]


def levenshtein(first: list[int], second: list[int]) -> int:
    """Count by the recursion itself."""
    table = {(i, j): i + j for i in range(len(first) + 1) for j in range(len(second) + 1) if i == 0 or j == 0}
    for i, one in enumerate(first, 1):
        for j, other in enumerate(second, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (one != other))
    return table[len(first), len(second)]


def test_pairs_of_one_text_are_limited(folder: Path) -> None:
    generator = np.random.default_rng(0)
    utterances = [
        said(
            folder, f"{speaker}{text}", generator.integers(0, SIZE, (2, 12)), speaker=f"s{speaker}", text=str(text)
        )  # type: ignore[arg-type]
        for speaker in range(6)
        for text in range(2)
    ]
    few, all_of_them = (summarised(runner(max_pairs=number), utterances)[SAME, "all"].value for number in (3, 100))
    assert few != all_of_them
    assert few == summarised(runner(max_pairs=3), utterances)[SAME, "all"].value


def test_other_columns_may_say_what_is_said(folder: Path) -> None:
    utterances = [
        said(
            folder,
            f"{speaker}{tone}",
            [[tone, 0], [tone, 0]],
            speaker=speaker,
            labels={"label": "ma", "tone": str(tone)},
        )
        for speaker in "ab"
        for tone in (1, 4)
    ]
    assert summarised(runner(alike=["label", "tone"]), utterances)[INVARIANCE, "all"].value == 1.0
    assert summarised(runner(alike=["label", "tone", "missing"]), utterances)[INVARIANCE, "all"].value is None


def test_where_nobody_says_the_same_there_is_no_number(folder: Path) -> None:
    alone = [
        said(folder, "a", [[1, 2], [1, 2]], speaker="a", text="one"),
        said(folder, "b", [[1, 2], [1, 2]], speaker="b", text="two"),
        said(folder, "c", [[1, 2], [1, 2]], speaker="c", text="one", language="de"),
    ]
    for summary in summarised(runner(), alone).values():
        assert (summary.value, summary.num_ok, summary.num_total) == (None, 0, 3)
        assert "no two speakers say the same" in next(iter(summary.reasons))


def test_what_failed_leaves_no_number(folder: Path) -> None:
    made = runner()
    utterance = said(folder, "a", [[1, 2], [1, 2]], speaker="a", text="one")
    payload = made.measure(Bench(Written(), "f", None), utterance, with_examples=False).payload
    for summary in made.summarise([payload, None]):
        assert (summary.value, summary.num_ok, summary.num_total) == (None, 1, 2)


def test_several_streams_and_wrong_arguments_are_told(folder: Path) -> None:
    utterance = said(folder, "a", [[1, 2], [1, 2]], speaker="a", text="one")
    with pytest.raises(NotSupportedError, match="written does not offer codes of one size"):
        runner().measure(Bench(Written(num_streams=2), "f", None), utterance, with_examples=False)
    with pytest.raises(SpecError, match=r"arguments.max_pairs"):
        runner(max_pairs=0)
