"""Crops: that they are what their number says, whoever reads them, and no more is read than they need."""

import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tokbench.audio import Audio
from tokbench.corpora.base import Corpus, Utterance
from tokbench.corpora.folder import FolderCorpus
from tokbench.errors import AudioFileError, CorpusError
from tokbench.training.crops import Batches, Crops, read_crop
from tokbench.training.utterances import Utterances


def write(path: Path, samples: np.ndarray, rate_hz: int = 16000) -> Utterance:
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return Utterance(id=path.stem, path=path, text=f"text of {path.stem}", speaker="x")


def crops(utterances: Utterances, **options: object) -> Crops:
    return Crops(utterances, **{"sample_rate_hz": 16000, "num_samples": 1600, "seed": 0, **options})  # type: ignore[arg-type]


@pytest.fixture
def utterances(corpus: Corpus) -> Utterances:
    return Utterances.of(corpus)


@pytest.mark.parametrize(
    ("source_hz", "target_hz"), [(16000, 16000), (22050, 16000), (48000, 24000), (11025, 16000)]
)
@pytest.mark.parametrize("position", [0.0, 0.37, 0.999])
def test_a_crop_of_a_part_is_the_crop_of_the_whole(
    tmp_path: Path, rng: np.random.Generator, source_hz: int, target_hz: int, position: float
) -> None:
    utterance = write(tmp_path / "a.wav", 0.1 * rng.standard_normal(2 * source_hz), source_hz)
    crop, is_whole = read_crop(utterance, sample_rate_hz=target_hz, num_samples=4000, position=position)
    whole = Audio.read(utterance.path).resample(target_hz).mono()
    starts = len(whole) - 4000 + 1
    start = min(int(position * starts), starts - 1)
    np.testing.assert_allclose(crop, whole[start : start + 4000], atol=2e-6)
    assert not is_whole


def test_a_crop_stays_within_its_segment(tmp_path: Path) -> None:
    samples = np.concatenate([np.full(8000, -1.0), np.full(8000, 0.5), np.full(8000, -1.0)])
    path = write(tmp_path / "a.wav", samples).path
    segment = Utterance(id="a", path=path, start_s=0.5, duration_s=0.5)
    for position in np.linspace(0, 1, 20, endpoint=False):
        crop, is_whole = read_crop(segment, sample_rate_hz=16000, num_samples=2000, position=float(position))
        assert (crop == 0.5).all()
        assert not is_whole
    crop, is_whole = read_crop(segment, sample_rate_hz=16000, num_samples=9000, position=0.9)
    assert is_whole
    assert (crop[:8000] == 0.5).all()
    assert not crop[8000:].any()


def test_little_more_is_read_than_the_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utterance = write(tmp_path / "a.wav", np.zeros(22050 * 60), 22050)
    asked: list[float] = []
    read = Audio.read.__func__  # type: ignore[attr-defined]

    def spy(cls: type[Audio], path: Path, *, start_s: float = 0.0, duration_s: float | None = None) -> Audio:
        asked.append(duration_s or 60.0)
        return read(cls, path, start_s=start_s, duration_s=duration_s)  # type: ignore[no-any-return]

    monkeypatch.setattr(Audio, "read", classmethod(spy))
    read_crop(utterance, sample_rate_hz=16000, num_samples=8000, position=0.5)
    assert asked == [pytest.approx(0.5, abs=0.1)]


def test_every_second_is_as_likely_or_every_utterance(tmp_path: Path) -> None:
    write(tmp_path / "long.wav", np.full(9 * 16000, 0.5))
    write(tmp_path / "short.wav", np.full(16000, -0.5))
    found = Utterances.of(FolderCorpus(tmp_path, name="x"))
    shares = {}
    for draw in ("by-second", "by-utterance"):
        drawn, generator = crops(found, draw=draw, num_samples=800), np.random.default_rng(0)
        shares[draw] = np.mean([drawn.sample(generator)[0] > 0 for _ in range(400)])
    # Five standard deviations.
    assert shares["by-second"] == pytest.approx(0.9, abs=0.075)
    assert shares["by-utterance"] == pytest.approx(0.5, abs=0.125)


def test_batches_are_the_same_with_workers_from_any_step_on_and_in_parts(utterances: Utterances) -> None:
    whole = list(Batches(crops(utterances), 4, num_workers=0).steps(0, 4))
    late = list(Batches(crops(utterances), 4, num_workers=2).steps(2, 4))
    for own, other in zip(whole[2:], late, strict=True):
        assert own.samples.equal(other.samples)
        assert other.inputs is other.samples
        assert (own.texts, own.speakers, own.is_whole) == (other.texts, other.speakers, other.is_whole)
    parts = [Batches(crops(utterances), 2, process=process, num_processes=2)[3] for process in range(2)]
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), whole[3].samples)
    assert not whole[0].samples.equal(whole[1].samples)


def test_other_seeds_draw_other_crops(utterances: Utterances) -> None:
    first, second = (Batches(crops(utterances, seed=seed), 4)[0].samples for seed in (0, 1))
    assert not first.equal(second)


def test_a_bad_file_is_named_by_the_process_that_trains(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.zeros(16000)).path
    found = Utterances.of(FolderCorpus(tmp_path, name="x"))
    path.write_bytes(b"no audio")
    for num_workers in (0, 1):
        with pytest.raises(AudioFileError, match=r"a\.wav: not readable as audio"):
            next(Batches(crops(found), 2, num_workers=num_workers).steps(0, 1))


def test_held_out_utterances_depend_on_their_ids_alone() -> None:
    def named(*numbers: int) -> Utterances:
        return Utterances.of(Utterance(id=str(each), path=Path("a.wav"), duration_s=1.0) for each in numbers)

    def ids(found: Utterances) -> list[str]:
        return [each.id for each in found]

    learnt_from, held_out = named(*range(40)).split(3)
    assert len(held_out) == 3
    assert sorted(ids(learnt_from) + ids(held_out), key=int) == [str(each) for each in range(40)]
    assert sorted(ids(named(*reversed(range(40))).split(3)[1])) == sorted(ids(held_out))
    kept = [each for each in range(40) if str(each) in ids(held_out) or each % 3]
    assert set(ids(named(*kept).split(2)[1])) <= set(ids(held_out))
    assert len(named(*range(12)).split(8)[1]) == 1  # a tenth
    assert len(named(1, 2).split(8)[1]) == 1
    assert len(named(1).split(8)[0]) == 1


def test_an_utterance_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "ton é.wav", np.zeros(16000)).path
    segment = Utterance(id="ä/1", path=path, start_s=0.25, duration_s=0.5, speaker="s", text="你好")
    assert list(Utterances.of([segment])) == [segment]


def test_memory_grows_by_hundreds_of_bytes_per_utterance() -> None:
    def many(count: int) -> Iterator[Utterance]:
        return (
            Utterance(
                id=f"reader/book/{index:08d}", path=Path(f"/data/reader/book/{index:08d}.flac"), duration_s=1.0
            )
            for index in range(count)
        )

    tracemalloc.start()
    found = Utterances.of(many(5_000))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 5_000
    assert kept < 5_000 * 50  # the columns themselves lie outside of Python's heap
    assert peak < 10_000_000
    assert len(pickle.dumps(found)) < 5_000 * 150


def test_a_corpus_without_audio_is_refused() -> None:
    with pytest.raises(CorpusError, match="no audio to train on"):
        crops(Utterances.of([]))
