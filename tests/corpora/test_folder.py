import os
from pathlib import Path

import pytest
import soundfile
from corpora.writers import WriteWav

from tokbench.corpora.folder import AUDIO_SUFFIXES, FolderCorpus
from tokbench.corpora.registry import open_corpus
from tokbench.errors import CorpusError, UnknownNameError

EXTENSIONS_OF_FORMATS = {"AIF": "AIFF", "OGA": "OGG", "OPUS": "OGG", "SPH": "NIST"}


def test_audio_is_found_in_order_and_the_folder_is_the_speaker(tmp_path: Path, write_wav: WriteWav) -> None:
    for name in ("b.wav", "a.FLAC", "zoe/2.wav", "zoe/1.wav", "ann/x/3.wav"):
        write_wav(tmp_path / name)
    for name in ("notes.txt", ".hidden.wav", "zoe/1.wav.bak"):
        (tmp_path / name).write_text("not audio")
    (tmp_path / "folder.wav").mkdir()
    corpus = open_corpus(f"folder:{tmp_path}")
    found = [(utterance.id, utterance.speaker) for utterance in corpus]
    assert found == [
        ("a.FLAC", ""),
        ("b.wav", ""),
        ("ann/x/3.wav", "x"),
        ("zoe/1.wav", "zoe"),
        ("zoe/2.wav", "zoe"),
    ]
    assert len(corpus) == 5
    assert all(utterance.read().num_samples == 1600 for utterance in corpus)


def test_what_is_kept_to_listen_to_is_no_recording(tmp_path: Path, write_wav: WriteWav) -> None:
    for name in ("a.wav", "results/t.v1/c/mulaw/8bit.examples/a.wav", "results/t.v1/c/originals.examples/a.wav"):
        write_wav(tmp_path / name)
    for name in ("leaderboards/overview.audio/1f.wav", "field.audio/b.wav"):
        write_wav(tmp_path / name)
    (tmp_path / "leaderboards/overview.html").write_text("a page")
    assert [utterance.id for utterance in open_corpus(f"folder:{tmp_path}")] == ["a.wav", "field.audio/b.wav"]


def test_name_and_reference_are_those_of_the_folder(tmp_path: Path, write_wav: WriteWav) -> None:
    write_wav(tmp_path / "my recordings" / "a.wav")
    corpus = open_corpus(f"folder:{tmp_path / 'my recordings'}")
    assert (corpus.name, corpus.reference) == ("my_recordings", "folder:my recordings")


def test_the_hash_follows_names_and_sizes(tmp_path: Path, write_wav: WriteWav) -> None:
    write_wav(tmp_path / "a.wav")
    before = FolderCorpus(tmp_path, name="x").sha256
    assert FolderCorpus(tmp_path, name="y").sha256 == before
    write_wav(tmp_path / "a.wav", 1601)
    resized = FolderCorpus(tmp_path, name="x").sha256
    (tmp_path / "a.wav").rename(tmp_path / "b.wav")
    assert len({before, resized, FolderCorpus(tmp_path, name="x").sha256}) == 3


def test_every_suffix_is_one_that_libsndfile_reads() -> None:
    formats = set(soundfile.available_formats())
    for suffix in AUDIO_SUFFIXES:
        name = suffix[1:].upper()
        assert EXTENSIONS_OF_FORMATS.get(name, "AIFF" if name == "AIF" else name) in formats


def test_a_folder_that_cannot_be_a_corpus_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="none: no such folder"):
        open_corpus(f"folder:{tmp_path / 'none'}")
    with pytest.raises(CorpusError, match="no audio files below this folder"):
        open_corpus(f"folder:{tmp_path}")
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="file: not a folder"):
        open_corpus(f"folder:{tmp_path / 'file'}")


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path, write_wav: WriteWav) -> None:
    write_wav(tmp_path / "elsewhere" / "1.wav")
    write_wav(tmp_path / "here" / "ann" / "2.wav")
    (tmp_path / "here" / "bea").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "ann" / "round").symlink_to(tmp_path / "here")
    (tmp_path / "elsewhere" / "itself").symlink_to(tmp_path / "elsewhere")
    corpus = open_corpus(f"folder:{tmp_path / 'here'}")
    for _ in range(2):
        assert [utterance.id for utterance in corpus] == ["ann/2.wav", "bea/1.wav"]


def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "a.wav")
    (tmp_path / "locked").mkdir()

    def scandir(path: str | Path) -> object:
        if Path(path).name == "locked":  # whoever runs the tests as root can read it
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(CorpusError, match="locked: cannot be read: Permission denied"):
        open_corpus(f"folder:{tmp_path}")


def test_a_name_that_is_not_in_utf_8_is_told_when_the_folder_is_opened(tmp_path: Path, write_wav: WriteWav) -> None:
    path = write_wav(tmp_path / "a.wav")
    try:
        path.rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(CorpusError, match=r"caf\\udce9\.wav': its name is not in UTF-8"):
        open_corpus(f"folder:{tmp_path}")


def test_a_folder_takes_no_filters(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no option of folder named 'split'"):
        open_corpus(f"folder:{tmp_path}?split=test")
