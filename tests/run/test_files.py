"""Files that are coded in one process, one codec after the other."""

from pathlib import Path

import pytest

from tokbench.audio import Audio
from tokbench.codecs.registry import one
from tokbench.corpora.registry import open_corpus
from tokbench.run.files import Coded, FileJob, process
from tokbench.runners.base import Failure
from tokbench.store import CodesFile
from tokbench.training.train import Options, train


@pytest.fixture
def codecs(corpus: Path, tmp_path: Path) -> list[Path]:
    """Return two trained folders of one name, with centroids of their own."""
    changes = {"codebook_size": 8, "num_codebooks": 1, "settings": [1]}
    return [
        train("spectrogram-kmeans", open_corpus(f"folder:{corpus}"), tmp_path / place / "mine", options=options)
        for place, options in (
            ("first", Options(changes={**changes, "log_mel": {"num_mels": 20}})),
            ("second", Options(changes={**changes, "log_mel": {"num_mels": 30}})),
        )
    ]


def test_a_folder_that_cannot_be_written_is_told(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    file, reference = corpus / "utterance 00.wav", one("mulaw:8bit")

    def said(job: FileJob) -> str:
        ((_, found),) = process([job], num_workers=1)
        assert isinstance(found, Failure)
        return found.reason

    for entropy in (False, True):
        job = FileJob(file, tmp_path / "taken" / "x", reference, "mulaw:8bit", "cpu", None, entropy=entropy)
        assert said(job).startswith(f"cannot write {job.folder}")
        assert said(job).endswith("choose another --out DIR")
    ((_, coded),) = process([FileJob(file, tmp_path, reference, "mulaw:8bit", "cpu", None)], num_workers=1)
    assert isinstance(coded, Coded)
    back = FileJob(coded.path, tmp_path / "taken", reference, "mulaw:8bit", "cpu", None, decodes=True)
    assert said(back).startswith(f"cannot write {back.folder}")


def test_two_folders_of_one_name_are_two_codecs(codecs: list[Path], corpus: Path, tmp_path: Path) -> None:
    file = next(iter(sorted(corpus.iterdir())))
    references = [one(str(folder)) for folder in codecs]
    assert references[0].label == references[1].label

    def job(number: int, run: str) -> FileJob:
        return FileJob(file, tmp_path / run / str(number), references[number], "mine", "cpu", weights=None)

    def codes(jobs: list[FileJob]) -> list[list[int]]:
        found = [outcome for _, outcome in process(jobs, num_workers=1)]
        assert all(isinstance(outcome, Coded) for outcome in found)
        paths = [outcome.path for outcome in found if isinstance(outcome, Coded)]
        return [CodesFile.read(path).codes.streams[0].indices.flatten().tolist() for path in paths]

    together = codes([job(0, "together"), job(1, "together"), job(0, "again")])
    (second,) = codes([job(1, "alone")])
    assert together[0] == together[2] != together[1] == second
    assert Audio.read(file).num_samples // 320 <= len(second)
