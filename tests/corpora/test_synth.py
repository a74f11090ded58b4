import csv
import importlib.metadata
import platform
import random
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import pyworld
import soundfile

from tokbench.audio import Audio
from tokbench.corpora import espeak, generated, synth
from tokbench.corpora.intervals import Interval
from tokbench.corpora.joined import join
from tokbench.corpora.manifest import ManifestCorpus
from tokbench.corpora.registry import open_corpus
from tokbench.corpora.synth import NAME, build_synth
from tokbench.corpora.synth_recipe import LANGUAGES, SyntheticUtterance, list_utterances
from tokbench.corpora.tones import is_tonal
from tokbench.errors import CorpusError
from tokbench.specs.base import file_sha256

# What espeakng-loader 0.2.4 (espeak-ng 1.52.0) says on Linux x86-64. Another number is another corpus: a change
# that is meant needs a new version in synth.NAME.
PINNED_PACKAGE = ("0.2.4", "Linux", "x86_64")
PINNED_SHA256 = {
    "manifest.csv": "b9505a0aa5fc31351c4c5120c60782b31de77f09576c24498e2a6aa13588205c",
    "alignments.csv": "265979976e5dfa7a339206743fe7dafe67140b09e8e437dc80f18225b7dbebe4",
}
SAMPLE = list_utterances()[::12]


def synth_corpus(reference: str) -> ManifestCorpus:
    corpus = open_corpus(reference)
    assert isinstance(corpus, ManifestCorpus)
    return corpus


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_is_the_pinned_corpus_bit_for_bit(synth_home: Path) -> None:
    here = (importlib.metadata.version("espeakng-loader"), platform.system(), platform.machine())
    if here != PINNED_PACKAGE:
        pytest.skip(f"pinned for {PINNED_PACKAGE}, this is {here}")
    folder = synth_home / "corpora" / NAME
    assert {name: file_sha256(folder / name) for name in PINNED_SHA256} == PINNED_SHA256


def test_the_manifest_tells_the_hash_and_the_length_of_every_file(synth_home: Path) -> None:
    folder = synth_home / "corpora" / NAME
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 360
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.wav")} == {row["path"] for row in rows}
    for row in rows:
        assert row["sha256"] == file_sha256(folder / row["path"])
        assert float(row["duration_s"]) == pytest.approx(soundfile.info(folder / row["path"]).duration, abs=1e-6)


def test_another_order_in_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    shuffled = SAMPLE.copy()
    random.Random(0).shuffle(shuffled)
    build_synth(tmp_path / "here", SAMPLE)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(build_synth, [tmp_path / "there", tmp_path / "also there"], [shuffled, SAMPLE[::-1]]))
    assert len(files_of(tmp_path / "here")) == len(SAMPLE) + 2
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there") == files_of(tmp_path / "also there")


def test_two_processes_that_make_it_at_once_leave_one_corpus(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(build_synth, [tmp_path / NAME] * 4, [SAMPLE[:3]] * 4))
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert len(files_of(tmp_path / NAME)) == 5


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generated, "write_alignments", fail)
    with pytest.raises(CorpusError, match=r"No space left on device\. Free some space or set TOKBENCH_HOME"):
        build_synth(tmp_path / NAME, SAMPLE[:1])
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_when_it_is_asked_for_and_once(tokbench_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []

    def list_two() -> list[SyntheticUtterance]:
        listed.append(tokbench_home)
        return [utterance for utterance in list_utterances() if utterance.is_demo][:2]

    monkeypatch.setattr(synth, "list_utterances", list_two)
    assert len(open_corpus("synth?split=demo")) == len(open_corpus("synth")) == 2
    assert len(listed) == 1
    assert [path.name for path in (tokbench_home / "corpora").iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("query", "name", "num_utterances"),
    [
        ("", "synth.v1", 144),
        ("?split=test", "synth.v1", 144),
        ("?split=train", "synth.v1-train", 216),
        ("?split=demo", "synth.v1-demo", 24),
        ("?split=train|test", "synth.v1-train+test", 360),
        ("?language=cmn|yue", "synth.v1-cmn+yue", 48),
        ("?split=demo&language=cmn", "synth.v1-demo-cmn", 4),
        ("?kind=tones", "synth.v1-tones", 18),
    ],
)
def test_parts_are_asked_for_by_column(synth_home: Path, query: str, name: str, num_utterances: int) -> None:
    del synth_home
    corpus = open_corpus(f"synth{query}")
    assert (corpus.name, corpus.reference, len(corpus)) == (name, f"synth{query}", num_utterances)
    assert corpus.licence == "Apache-2.0"


def test_what_is_not_in_it_is_told(synth_home: Path) -> None:
    del synth_home
    with pytest.raises(CorpusError, match=r"no row has .*language=klingon .*language is 'cmn', 'de', 'en-us'"):
        open_corpus("synth?language=klingon")
    with pytest.raises(CorpusError, match="no column named 'lang' to filter by; the columns are id, path, split"):
        open_corpus("synth?lang=de")
    with pytest.raises(CorpusError, match="split=demo is a part of split=test already"):
        open_corpus("synth?split=demo|test")
    with pytest.raises(CorpusError, match="synth: takes no path"):
        open_corpus("synth:somewhere")


def test_it_is_a_quarter_of_an_hour_and_the_demo_a_minute(synth_home: Path) -> None:
    del synth_home
    assert 800 < (synth_corpus("synth?split=train|test").total_duration_s or 0) < 1000
    assert 55 < (synth_corpus("synth?split=demo").total_duration_s or 0) < 75


def test_the_first_utterances_are_of_many_languages_and_speakers(synth_home: Path) -> None:
    del synth_home
    first = [utterance for utterance, _ in zip(open_corpus("synth"), range(12), strict=False)]
    assert len({utterance.language for utterance in first}) >= 4
    assert len({utterance.speaker for utterance in first}) >= 4


def test_speech_is_loud_does_not_clip_and_is_never_digitally_silent(synth_home: Path) -> None:
    del synth_home
    for utterance in open_corpus("synth?split=train|test"):
        samples = soundfile.read(utterance.path, dtype="int16")[0].astype(np.int32)
        assert np.abs(samples).max() > 0.1 * 32768
        assert np.count_nonzero(np.abs(samples) >= 32767) <= 1
        edge = samples[: round(0.1 * 22050)]
        assert 4 < edge.std() < 9
        assert abs(edge.mean()) < 1


def test_intervals_follow_each_other_within_their_utterance(synth_home: Path) -> None:
    del synth_home
    for tier in ("phone", "word", "tone"):
        for aligned in synth_corpus("synth?split=train|test").read_alignments(tier):
            intervals = aligned.intervals
            assert intervals[0].start_s >= 0.1
            assert intervals[-1].end_s <= soundfile.info(aligned.utterance.path).duration - 0.1 + 1e-6
            assert all(first.end_s <= second.start_s for first, second in pairwise(intervals))


def test_utterances_come_with_their_intervals_or_without(synth_home: Path) -> None:
    del synth_home
    corpus = synth_corpus("synth?split=train|test")
    known = {aligned.utterance.id: aligned.intervals for aligned in corpus.read_alignments("tone")}
    found = list(corpus.with_intervals("tone"))
    assert [utterance.id for utterance in found] == [utterance.id for utterance in corpus]
    assert {utterance.id: utterance.intervals for utterance in found if utterance.intervals} == known
    assert 0 < len(known) < len(found)
    joined = join([synth_corpus("synth?split=train"), synth_corpus("synth?split=test")])
    assert joined.has_intervals
    assert len(joined.intervals_sha256) == 64
    parts = [utterance.id.partition("/")[2] for utterance in joined.with_intervals("tone")]
    assert sorted(parts) == sorted(utterance.id for utterance in found)


def test_words_join_to_the_text_and_phones_fill_the_words(synth_home: Path) -> None:
    del synth_home
    corpus = synth_corpus("synth?split=train|test")
    num_aligned = 0
    for words, phones in zip(corpus.read_alignments("word"), corpus.read_alignments("phone"), strict=True):
        assert words.utterance.id == phones.utterance.id
        labels = " ".join(word.label for word in words.intervals)
        assert labels == " ".join(word[0] for word in espeak.split_words(words.utterance.text))
        assert len(phones.intervals) >= len(words.intervals)
        starts = {phone.start_s for phone in phones.intervals}
        assert all(word.start_s in starts for word in words.intervals)
        num_aligned += 1
    assert num_aligned == 360


def test_no_text_is_read_as_another_language_and_no_phone_is_cut_off(synth_home: Path) -> None:
    del synth_home
    phones = Counter()
    for aligned in synth_corpus("synth?split=train|test").read_alignments("phone"):
        phones.update((aligned.utterance.language, interval.label) for interval in aligned.intervals)
        assert all(0.003 < interval.duration_s < 0.8 for interval in aligned.intervals)
    assert not [label for _, label in phones if "(" in label or "\ufffd" in label or not label.strip()]
    num_phones = {language: len({label for lang, label in phones if lang == language}) for language in LANGUAGES}
    assert all(25 <= number <= 60 for number in num_phones.values()), num_phones


def test_every_syllable_of_the_languages_with_tones_has_its_tone(synth_home: Path) -> None:
    del synth_home
    counts = defaultdict(Counter)
    for split in ("train", "test"):
        for aligned in synth_corpus(f"synth?split={split}").read_alignments("tone"):
            assert len(aligned.intervals) == len(espeak.split_words(aligned.utterance.text))
            counts[split, aligned.utterance.language].update(interval.label for interval in aligned.intervals)
    assert set(counts) == {(split, lang) for split in ("train", "test") for lang in LANGUAGES if is_tonal(lang)}
    assert {len(counts["test", language]) for language in ("cmn", "yue", "vi")} == {5, 6}
    assert all(min(counter.values()) >= 6 for counter in counts.values())


def semitones(audio: Audio, interval: Interval) -> float:
    """Return how far F0 moves from the first to the last third of ``interval``; NaN where the tracker is lost."""
    samples = audio.mono().astype(np.float64)
    f0_hz, times_s = pyworld.dio(samples, audio.sample_rate_hz, f0_floor=60.0, f0_ceil=350.0)
    f0_hz, times_s = f0_hz[f0_hz > 0], times_s[f0_hz > 0]
    thirds = np.linspace(interval.start_s, interval.end_s, 4)
    first = f0_hz[(times_s >= thirds[0]) & (times_s < thirds[1])]
    last = f0_hz[(times_s >= thirds[2]) & (times_s < thirds[3])]
    return float(12 * np.log2(np.median(last) / np.median(first))) if len(first) and len(last) else np.nan


def test_mandarin_tones_are_heard_where_the_labels_say(synth_home: Path) -> None:
    del synth_home
    moves = defaultdict(list)
    for aligned in synth_corpus("synth?language=cmn&kind=tones").read_alignments("tone"):
        audio = aligned.utterance.read()
        for interval in aligned.intervals:
            moves[interval.label].append(semitones(audio, interval))
    assert all(np.isfinite(values).sum() >= 4 for values in moves.values())
    middle = {tone: np.nanmedian(values) for tone, values in moves.items()}
    assert middle["2"] > 1.0
    assert middle["4"] < -1.0
    assert abs(middle["1"]) < 1.0


def test_speakers_that_sound_female_are_higher(synth_home: Path) -> None:
    del synth_home
    f0_hz = defaultdict(list)
    for utterance in open_corpus("synth?split=demo"):
        audio = utterance.read()
        track, _ = pyworld.dio(audio.mono().astype(np.float64), audio.sample_rate_hz)
        f0_hz[utterance.labels["gender"]].append(np.median(track[track > 0]))
    assert min(f0_hz["f"]) > max(f0_hz["m"])


def test_the_recipe_is_what_the_corpus_holds(synth_home: Path) -> None:
    del synth_home
    utterances = {utterance.id: utterance for utterance in open_corpus("synth?split=train|test")}
    for expected in list_utterances():
        found = utterances[expected.id]
        assert (found.text, found.language, found.speaker) == (
            expected.text,
            expected.language,
            expected.speaker.name,
        )
        assert found.labels["split"] == expected.split
        assert (found.labels["demo"] == "yes") == expected.is_demo
