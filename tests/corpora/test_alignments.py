import re
from pathlib import Path

import pytest

from tokbench.corpora.alignments import read_alignments, write_alignments
from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.errors import CorpusError

UTTERANCES = [Utterance(id=name, path=Path(f"{name}.wav")) for name in ("one", 'two "2"', "三")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_alignments(
        tmp_path / "alignments.csv",
        [
            ("one", "phone", Interval(0.0, 0.25, "ɛ̃")),
            ("one", "phone", Interval(0.25, 0.5, ",")),
            ("one", "word", Interval(0.0, 0.5, "en")),
            ('two "2"', "word", Interval(0.1, 0.2, "of the")),
            ("三", "phone", Interval(0.1, 0.2, "s")),
        ],
    )
    return tmp_path / "alignments.csv"


def test_what_is_written_is_read_again(path: Path) -> None:
    first, third = read_alignments(path, UTTERANCES, "phone")
    assert first.utterance is UTTERANCES[0]
    assert first.intervals == (Interval(0.0, 0.25, "ɛ̃"), Interval(0.25, 0.5, ","))
    assert third.utterance.id == "三"


def test_only_the_utterances_asked_for_are_given(path: Path) -> None:
    (found,) = read_alignments(path, UTTERANCES[1:2], "word")
    assert [interval.label for interval in found.intervals] == ["of the"]


def test_words_of_one_tone_are_syllables_where_none_are_told(tmp_path: Path) -> None:
    write_alignments(
        tmp_path / "alignments.csv",
        [
            ("one", "word", Interval(0.0, 0.25, "ma1")),
            ("one", "word", Interval(0.25, 0.5, "okay")),
            ("one", "tone", Interval(0.0, 0.25, "1")),
            ('two "2"', "word", Interval(0.0, 0.4, "water")),
            ('two "2"', "syllable", Interval(0.0, 0.2, "wa")),
            ('two "2"', "syllable", Interval(0.2, 0.4, "ter")),
        ],
    )
    found = read_alignments(tmp_path / "alignments.csv", UTTERANCES[:2], "syllable")
    assert [[item.label for item in aligned.intervals] for aligned in found] == [["ma1"], ["wa", "ter"]]


def test_reading_stops_where_the_utterances_end(path: Path) -> None:
    with path.open("a") as file:
        file.write("four,phone,not read\n")
    assert len(list(read_alignments(path, UTTERANCES[:1], "phone"))) == 1


def test_another_order_than_the_manifests_is_told(path: Path) -> None:
    with pytest.raises(CorpusError, match="nothing about one, or not in the order of the manifest"):
        list(read_alignments(path, [UTTERANCES[1], UTTERANCES[0]], "word"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,start\n", "the first line must be id,tier,start_s,end_s,label"),
        ("id,tier,start_s,end_s,label\none,phone,0.1\n", "line 2: 3 cells where 5 were expected"),
        ("id,tier,start_s,end_s,label\none,phone,0.2,0.1,a\n", "one: an interval cannot go from 0.2 s to 0.1 s"),
        (
            "id,tier,start_s,end_s,label\none,phone,0,0.1,a\none,phon,0.1,0.2,b\n",
            "line 3: no tier named 'phon'; there are phone, word, tone, syllable",
        ),
        ("id,tier,start_s,end_s,label\none,phone,soon,0.1,a\n", "one: could not convert string to float: 'soon'"),
    ],
)
def test_a_malformed_file_is_told(path: Path, text: str, sentence: str) -> None:
    path.write_text(text)
    with pytest.raises(CorpusError, match=re.escape(sentence)):
        list(read_alignments(path, UTTERANCES, "phone"))


def test_an_interval_that_ends_after_its_segment_is_told(path: Path) -> None:
    def segment(seconds: float) -> list[Utterance]:
        return [Utterance(id="one", path=Path("one.wav"), start_s=3.0, duration_s=seconds)]

    assert len(list(read_alignments(path, segment(0.45), "word"))) == 1
    with pytest.raises(CorpusError, match=r"one: an interval ends at 0\.5 s of a segment of 0\.35 s"):
        list(read_alignments(path, segment(0.35), "word"))


def test_a_corpus_without_alignments_and_an_unknown_tier_are_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file; this corpus has no alignments"):
        list(read_alignments(tmp_path / "alignments.csv", UTTERANCES, "phone"))
    with pytest.raises(CorpusError, match="no tier named 'phones'; there are phone, word, tone, syllable"):
        list(read_alignments(tmp_path / "alignments.csv", UTTERANCES, "phones"))  # type: ignore[arg-type]
