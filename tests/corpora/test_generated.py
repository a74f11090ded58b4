import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tokbench.corpora.generated import Clip, Recipe, Row, Sound, as_int16, in_a_quiet_room
from tokbench.corpora.intervals import Interval
from tokbench.corpora.manifest import ManifestCorpus
from tokbench.corpora.reference import CorpusReference
from tokbench.errors import CorpusError, NotApplicableError
from tokbench.specs.base import file_sha256

RATE_HZ = 8000
LABELS = ("text", "target_path", "target_sha256")


def ramp(num_samples: int, *, num_channels: int = 1, made: list[int] | None = None) -> Sound:
    if made is not None:
        made.append(num_samples)
    samples = np.arange(num_channels * num_samples, dtype=np.int16).reshape(num_channels, -1)
    return Sound(samples, RATE_HZ, [("word", Interval(0.0, num_samples / RATE_HZ, "ramp"))])


def recipe(made: list[int] | None = None) -> Recipe:
    shared = Clip("train/shared", partial(ramp, 80, made=made))
    return Recipe(
        name="ramps.v1",
        labels=LABELS,
        rows=lambda: [
            Row(id="one", clip=shared, columns={"split": "train", "text": "a"}),
            Row(
                id="two",
                clip=Clip("test/two", partial(ramp, 40, num_channels=2, made=made)),
                companions={"target": shared},
                columns={"split": "test", "text": "b"},
            ),
        ],
    )


def test_each_recording_is_made_once_and_found_again_with_its_companions(tokbench_home: Path) -> None:
    made: list[int] = []
    corpus = recipe(made).open(CorpusReference.parse("ramps"))
    assert sorted(made) == [40, 80]
    (two,) = corpus
    assert (two.id, two.text, two.labels) == ("two", "b", {"split": "test", "licence": "Apache-2.0"})
    assert two.read().samples.shape == (2, 40)
    assert two.read_companion("target").num_samples == 80
    with pytest.raises(NotApplicableError, match="there is no noise recording beside it"):
        two.read_companion("noise")
    folder = tokbench_home / "corpora" / "ramps.v1"
    np.testing.assert_array_equal(
        soundfile.read(folder / "test/two.wav", dtype="int16")[0].T, ramp(40, num_channels=2).samples
    )
    with (folder / "manifest.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows["two"]["target_path"] == rows["one"]["path"] == "train/shared.wav"
    assert rows["two"]["target_sha256"] == rows["one"]["sha256"] == file_sha256(folder / "train/shared.wav")
    assert [aligned.intervals[0].duration_s for aligned in corpus.read_alignments("word")] == [0.005]


def test_the_test_split_is_what_is_meant_where_none_is_named(tokbench_home: Path) -> None:
    del tokbench_home
    opened = {query: recipe().open(CorpusReference.parse(f"ramps{query}")) for query in ("", "?split=train")}
    assert [(corpus.name, [item.id for item in corpus]) for corpus in opened.values()] == [
        ("ramps.v1", ["two"]),
        ("ramps.v1-train", ["one"]),
    ]
    with pytest.raises(CorpusError, match="ramps: takes no path"):
        recipe().open(CorpusReference.parse("ramps:here"))


def with_large_splits() -> Recipe:
    def rows(split: str) -> list[Row]:
        return [Row(id=f"{split}-1", clip=Clip(f"{split}/1", partial(ramp, 60)), columns={"split": split})]

    return replace(recipe(), large={split: partial(rows, split) for split in ("train-large", "test-large")})


def test_large_splits_lie_in_a_folder_of_their_own_and_leave_the_others_as_they_are(
    tokbench_home: Path,
) -> None:
    folder = tokbench_home / "corpora"
    usual = recipe().open(CorpusReference.parse("ramps"))
    manifest = (folder / "ramps.v1" / "manifest.csv").read_bytes()
    for split in ("train-large", "test-large"):
        corpus = with_large_splits().open(CorpusReference.parse(f"ramps?split={split}"))
        assert (corpus.name, [item.id for item in corpus]) == (f"ramps.v1-{split}", [f"{split}-1"])
        assert corpus.path == folder / "ramps.v1-large" / "manifest.csv"
    assert with_large_splits().open(CorpusReference.parse("ramps")).sha256 == usual.sha256
    assert (folder / "ramps.v1" / "manifest.csv").read_bytes() == manifest


def test_the_usual_folder_is_not_made_for_a_large_split_nor_the_large_one_for_others(tokbench_home: Path) -> None:
    with_large_splits().open(CorpusReference.parse("ramps?split=train-large"))
    assert [path.name for path in (tokbench_home / "corpora").iterdir()] == ["ramps.v1-large"]
    with_large_splits().open(CorpusReference.parse("ramps?split=train|test"))
    assert {path.name for path in (tokbench_home / "corpora").iterdir()} == {"ramps.v1-large", "ramps.v1"}


def test_a_large_split_is_asked_for_alone_and_where_there_is_one(tokbench_home: Path) -> None:
    for splits in ("train|train-large", "test-large|train-large", "train-large|test"):
        with pytest.raises(CorpusError, match=r"made of several folders; ask for split=[a-z]+-large alone"):
            with_large_splits().open(CorpusReference.parse(f"ramps?split={splits}"))
    with pytest.raises(CorpusError, match=r"no split=test-large of it; ask for split=train or split=test$"):
        recipe().open(CorpusReference.parse("ramps?split=test-large"))
    only_training = replace(with_large_splits(), large={"train-large": list})
    with pytest.raises(CorpusError, match="ask for split=train or split=test or split=train-large"):
        only_training.open(CorpusReference.parse("ramps?split=test-large"))
    assert not (tokbench_home / "corpora").exists()


def test_a_companion_counts_for_the_hash_of_the_corpus_and_has_to_be_there(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(80 if name != "c" else 90), RATE_HZ)

    def corpus(target: str) -> ManifestCorpus:
        path = tmp_path / "manifest.csv"
        path.write_text(f"path,target_path\na.wav,{target}\n")
        return ManifestCorpus(path, name="x", reference="x")

    alone, longer = corpus("b.wav").sha256, corpus("c.wav").sha256
    assert len({alone, longer, corpus("").sha256}) == 3
    assert next(iter(corpus(""))).companions == {}
    with pytest.raises(CorpusError, match=r"line 2: no such file: d\.wav"):
        corpus("d.wav")


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Sound:
        raise OSError(28, "No space left on device")

    broken = Row(id="one", clip=Clip("one", fail))
    with pytest.raises(CorpusError, match=r"cannot make the corpus ramps in .*No space left on device\. Free some"):
        recipe().build(tmp_path / "ramps.v1", [broken])
    assert list(tmp_path.iterdir()) == []


def test_samples_are_rounded_and_clipped() -> None:
    values = np.array([-2.0, -1.0, -0.50001, 0.0, 0.25, 1.0])
    np.testing.assert_array_equal(as_int16(values), [-32768, -32768, -16384, 0, 8192, 32767])


def test_a_quiet_room_is_never_silent_and_hardly_heard() -> None:
    room = in_a_quiet_room(np.full(4000, 32767, np.int16), num_padded=1000, seed="x")
    assert len(room) == 6000
    assert 4 < room[:1000].std() < 9
    assert room[1000:5000].min() > 32767 - 16
    assert room[1000:5000].max() == 32767
