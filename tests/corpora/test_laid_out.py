"""Published data sets in their own layouts, read as torchaudio reads them where it does."""

from pathlib import Path

import pytest
import torchaudio
from corpora.writers import WriteWav

from tokbench.corpora.registry import list_corpora, open_corpus
from tokbench.errors import CorpusError, UnknownNameError

WORDS = (
    "bed/0a7c2a8d_nohash_0.wav",
    "bed/0a7c2a8d_nohash_1.wav",
    "cat/0b09edd3_nohash_0.wav",
    "cat/12529547_nohash_0.wav",
    "_background_noise_/white_noise.wav",
)
FLUENT = """,path,speakerId,transcription,action,object,location
0,wavs/speakers/{speaker}/{split}-0.wav,{speaker},"Turn on the lights, please",activate,lights,kitchen
1,wavs/speakers/{speaker}/{split}-1.wav,{speaker},Louder,increase,volume,none
"""


@pytest.fixture
def speech_commands(tmp_path: Path, write_wav: WriteWav) -> Path:
    folder = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    for name in WORDS:
        write_wav(folder / name)
    (folder / "validation_list.txt").write_text("bed/0a7c2a8d_nohash_1.wav\n")
    (folder / "testing_list.txt").write_text("cat/0b09edd3_nohash_0.wav\n")
    return folder


@pytest.fixture
def fluent(tmp_path: Path, write_wav: WriteWav) -> Path:
    folder = tmp_path / "fluent_speech_commands_dataset"
    (folder / "data").mkdir(parents=True)
    for split, speaker in (("train", "ann"), ("valid", "bea"), ("test", "cem")):
        (folder / "data" / f"{split}_data.csv").write_text(FLUENT.format(split=split, speaker=speaker))
        for number in range(2):
            write_wav(folder / "wavs" / "speakers" / speaker / f"{split}-{number}.wav")
    return folder


@pytest.mark.parametrize(
    ("split", "subset"), [("train", "training"), ("validation", "validation"), ("test", "testing")]
)
def test_speech_commands_are_those_of_torchaudio(split: str, subset: str, speech_commands: Path) -> None:
    corpus = open_corpus(f"speech-commands:{speech_commands}?split={split}")
    expected = torchaudio.datasets.SPEECHCOMMANDS(speech_commands.parent.parent, subset=subset)
    assert len(corpus) == len(expected)
    for utterance, index in zip(corpus, range(len(expected)), strict=True):
        path, _, word, speaker, _ = expected.get_metadata(index)
        assert path.endswith(utterance.path.relative_to(speech_commands).as_posix())
        assert (utterance.text, utterance.speaker) == (word, speaker)
        assert utterance.labels == {"split": split}


@pytest.mark.parametrize(("split", "subset"), [("train", "train"), ("validation", "valid"), ("test", "test")])
def test_fluent_speech_commands_are_those_of_torchaudio(split: str, subset: str, fluent: Path) -> None:
    corpus = open_corpus(f"fluent-speech-commands:{fluent}?split={split}")
    expected = torchaudio.datasets.FluentSpeechCommands(fluent.parent, subset=subset)
    for utterance, index in zip(corpus, range(len(expected)), strict=True):
        path, _, name, speaker, text, *slots = expected.get_metadata(index)
        assert utterance.path == fluent / path
        assert (utterance.id, utterance.speaker, utterance.text) == (name, speaker, text)
        assert [utterance.labels[slot] for slot in ("action", "object", "location")] == slots
        assert utterance.labels["intent"] == " ".join(slots)


def test_the_first_recordings_of_a_digit_are_the_test(tmp_path: Path, write_wav: WriteWav) -> None:
    for name in ("0_jackson_0", "0_jackson_4", "0_jackson_5", "7_theo_49", "notes"):
        write_wav(tmp_path / "recordings" / f"{name}.wav")
    test, train = (open_corpus(f"fsdd:{tmp_path}?split={split}") for split in ("test", "train"))
    assert [item.id for item in test] == ["0_jackson_0", "0_jackson_4"]
    assert [(item.text, item.speaker) for item in train] == [("zero", "jackson"), ("seven", "theo")]


def test_sounds_have_folds(tmp_path: Path, write_wav: WriteWav) -> None:
    (tmp_path / "meta").mkdir()
    rows = [f"{fold}-1-A-0.wav,{fold},0,dog,True,1,A\n" for fold in range(1, 6)]
    header = "filename,fold,target,category,esc10,src_file,take\n"
    (tmp_path / "meta" / "esc50.csv").write_text("".join([header, *rows]))
    for fold in range(1, 6):
        write_wav(tmp_path / "audio" / f"{fold}-1-A-0.wav")
    corpus = open_corpus(f"esc50:{tmp_path}?split=train|validation|test")
    assert [item.labels["split"] for item in corpus] == ["test", "validation", "train", "train", "train"]
    assert {(item.labels["category"], item.labels["esc10"], item.speaker) for item in corpus} == {
        ("dog", "True", "")
    }
    assert corpus.name == "esc50-train+validation+test"
    (tmp_path / "audio" / "3-1-A-0.wav").unlink()
    with pytest.raises(CorpusError, match=r"no such file: audio/3-1-A-0\.wav"):
        open_corpus(f"esc50:{tmp_path}?split=train")


def test_what_is_missing_is_told_with_the_way_to_get_it(tmp_path: Path, fluent: Path) -> None:
    with pytest.raises(CorpusError, match=r"no speech_commands_v0\.02 with .* Get it from http://download"):
        open_corpus(f"speech-commands:{tmp_path}")
    (fluent / "data" / "test_data.csv").write_text("path,speaker\na.wav,ann\n")
    with pytest.raises(CorpusError, match=r"test_data\.csv: missing columns: speakerId, transcription"):
        open_corpus(f"fluent-speech-commands:{fluent}")
    (tmp_path / "recordings").mkdir()
    with pytest.raises(CorpusError, match="no recordings in test"):
        open_corpus(f"fsdd:{tmp_path}")
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        open_corpus(f"fsdd:{tmp_path}?split=trian")


def test_they_are_looked_for_in_the_home_of_corpora(fluent: Path, tokbench_home: Path) -> None:
    (tokbench_home / "corpora").mkdir()
    missing = list_corpora()["fluent-speech-commands"].missing
    assert missing == f"put fluent_speech_commands_dataset in {tokbench_home / 'corpora'}, or name its ROOT"
    fluent.rename(tokbench_home / "corpora" / fluent.name)
    assert list_corpora()["fluent-speech-commands"].is_available
    corpus = open_corpus("fluent-speech-commands")
    assert corpus.name == "fluent-speech-commands-test"
    assert corpus.reference == "fluent-speech-commands?split=test"
