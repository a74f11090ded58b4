import shutil
import tarfile
from pathlib import Path

import pytest
import torchaudio
from corpora.writers import WriteWav

from tokbench.corpora.registry import list_corpora, open_corpus
from tokbench.errors import CorpusError, UnknownNameError

TEXTS = {
    "test-clean/1089/134686": ["HE HOPED THERE WOULD BE STEW", "STUFF IT INTO YOU"],
    "test-clean/121/121726": ["ALSO A POPULAR CONTRIVANCE"],
    "test-other/367/130732": ["LOBSTERS AND LOBSTERS"],
}


@pytest.fixture
def root(tmp_path: Path, write_wav: WriteWav) -> Path:
    for chapter, texts in TEXTS.items():
        folder = tmp_path / "LibriSpeech" / chapter
        prefix = "-".join(chapter.split("/")[1:])
        for index in range(len(texts)):
            write_wav(folder / f"{prefix}-{index:04d}.flac")
        lines = [f"{prefix}-{index:04d} {text}\n" for index, text in enumerate(texts)]
        (folder / f"{prefix}.trans.txt").write_text("".join(lines))
    return tmp_path


def test_the_usual_layout_is_read_as_torchaudio_reads_it(root: Path) -> None:
    corpus = open_corpus(f"librispeech:{root}?split=test-clean")
    expected = torchaudio.datasets.LIBRISPEECH(root, url="test-clean")
    assert len(corpus) == len(expected) == 3
    for utterance, index in zip(corpus, range(len(expected)), strict=True):
        _, _, text, speaker, chapter, number = expected.get_metadata(index)
        assert utterance.id == f"{speaker}-{chapter}-{number:04d}"
        assert (utterance.text, utterance.speaker) == (text, str(speaker))
        assert utterance.labels == {"chapter": str(chapter), "split": "test-clean"}
        assert utterance.read().num_samples == 1600


def test_several_splits_and_the_folder_itself_are_understood(root: Path) -> None:
    both = open_corpus(f"librispeech:{root / 'LibriSpeech'}?split=test-clean|test-other")
    assert [utterance.speaker for utterance in both] == ["1089", "1089", "121", "367"]
    assert both.name == "librispeech-test-clean+test-other"
    assert both.reference == "librispeech?split=test-clean|test-other"


def test_the_folder_may_have_another_name(root: Path) -> None:
    renamed = (root / "LibriSpeech").rename(root / "speech")
    assert len(open_corpus(f"librispeech:{renamed}?split=test-clean|test-other")) == 4
    with pytest.raises(CorpusError, match=f"unpack its folder LibriSpeech/dev-other in {renamed}, or add"):
        open_corpus(f"librispeech:{renamed}?split=test-clean|dev-other")


def test_it_is_looked_for_in_the_home_of_corpora(root: Path, tokbench_home: Path) -> None:
    assert not list_corpora()["librispeech"].is_available
    (tokbench_home / "corpora").mkdir()
    (root / "LibriSpeech").rename(tokbench_home / "corpora" / "LibriSpeech")
    assert list_corpora()["librispeech"].is_available
    assert open_corpus("librispeech").name == "librispeech-test-clean"


def test_an_absent_split_tells_how_to_get_it(root: Path) -> None:
    with pytest.raises(CorpusError, match=r"openslr\.org/resources/12/dev-clean\.tar\.gz and unpack it in"):
        open_corpus(f"librispeech:{root}?split=dev-clean")


def test_a_misspelt_split_or_option_is_told(root: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'test-clean'"):
        open_corpus(f"librispeech:{root}?split=test-claen")
    with pytest.raises(UnknownNameError, match="Did you mean 'split'"):
        open_corpus(f"librispeech:{root}?splits=test-clean")


def test_a_recording_without_its_file_is_told(root: Path) -> None:
    (root / "LibriSpeech/test-clean/121/121726/121-121726-0000.flac").unlink()
    with pytest.raises(CorpusError, match=r"no such file: test-clean/121/121726/121-121726-0000\.flac"):
        open_corpus(f"librispeech:{root}")


def test_a_transcript_in_another_encoding_is_told(root: Path) -> None:
    transcript = next((root / "LibriSpeech" / "test-clean").rglob("*.trans.txt"))
    transcript.write_bytes(transcript.read_bytes() + "121-121726-0009 CAFÉ\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"\.trans\.txt: not UTF-8; save the file with that encoding"):
        open_corpus(f"librispeech:{root}?split=test-clean")


def test_a_split_without_transcripts_is_told(root: Path) -> None:
    (root / "LibriSpeech/dev-clean").mkdir()
    with pytest.raises(CorpusError, match=r"no transcripts .* in dev-clean"):
        open_corpus(f"librispeech:{root}?split=dev-clean")


def test_a_download_is_asked_of_torchaudio_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(folder: str, *, url: str, folder_in_archive: str, download: bool) -> None:
        asked.append((url, download))
        Path(folder, folder_in_archive).mkdir()
        (root / "LibriSpeech/test-other").rename(Path(folder, folder_in_archive, url))

    monkeypatch.setattr(torchaudio.datasets, "LIBRISPEECH", download)
    for _ in range(2):
        assert len(open_corpus(f"librispeech:{root}?split=dev-other&download=true")) == 1
    assert asked == [("dev-other", True)]


def pack(root: Path, split: str) -> bytes:
    """Return the archive of ``split``, and take its folder away."""
    with tarfile.open(root / "packed", "w:gz") as file:
        file.add(root / "LibriSpeech" / split, f"LibriSpeech/{split}")
    shutil.rmtree(root / "LibriSpeech" / split)
    packed = (root / "packed").read_bytes()
    (root / "packed").unlink()
    return packed


def test_an_archive_that_lies_there_is_unpacked_all_of_it_or_none(root: Path) -> None:
    packed = pack(root, "test-clean")
    archive = root / "test-clean.tar.gz"
    archive.write_bytes(packed[:-1000])
    with pytest.raises(CorpusError, match="the download failed: "):
        open_corpus(f"librispeech:{root}?download=true")
    assert sorted(path.name for path in root.iterdir()) == ["LibriSpeech", archive.name]
    archive.write_bytes(packed)
    assert len(open_corpus(f"librispeech:{root}?download=true")) == 3
    assert archive.read_bytes() == packed


def test_an_archive_that_could_not_be_unpacked_is_not_downloaded_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(root, "test-clean")

    def download(folder: str, *, url: str, **_: object) -> None:
        Path(folder, f"{url}.tar.gz").write_bytes(packed)
        (Path(folder, "LibriSpeech", url) / "1089").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torchaudio.datasets, "LIBRISPEECH", download)
        with pytest.raises(KeyboardInterrupt):
            open_corpus(f"librispeech:{root}?download=true")
    assert not (root / "LibriSpeech" / "test-clean").exists()
    assert len(open_corpus(f"librispeech:{root}?download=true")) == 3


def test_a_download_without_a_network_tells_how_to_get_it_by_hand(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torchaudio.datasets, "LIBRISPEECH", download)
    with pytest.raises(CorpusError, match=r"resources/12/dev-clean.*the download failed: Network is unreachable"):
        open_corpus(f"librispeech:{root}?split=dev-clean&download=true")
