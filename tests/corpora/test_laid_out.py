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
SPLITS = ("train", "validation", "test")
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


def test_libritts_is_that_of_torchaudio(
    tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("test-clean", "dev-other"):
        for name in ("1089/134686/1089_134686_000001_000001", "121/121726/121_121726_000004_000003"):
            path = write_wav(tmp_path / "LibriTTS" / split / f"{name}.wav")
            path.with_suffix(".normalized.txt").write_text(f"Said in {split}, mister.")
            path.with_suffix(".original.txt").write_text(f"Said in {split}, Mr.")
    monkeypatch.setattr(torchaudio, "load", lambda path: (path, 16000))
    corpus = open_corpus(f"libritts:{tmp_path}?split=dev-other")
    expected = torchaudio.datasets.LIBRITTS(tmp_path, url="dev-other")
    assert len(corpus) == len(expected) == 2
    for utterance, (path, _, _, text, speaker, chapter, name) in zip(corpus, expected, strict=True):
        assert utterance.path == Path(path)
        assert (utterance.id, utterance.text, utterance.speaker) == (name, text, str(speaker))
        assert utterance.labels == {"chapter": str(chapter), "split": "dev-other"}
    with pytest.raises(CorpusError, match="no LibriTTS with train-clean-100"):
        open_corpus(f"libritts:{tmp_path}?split=train-clean-100")
    next(tmp_path.glob("LibriTTS/test-clean/*/*/*.normalized.txt")).unlink()
    with pytest.raises(CorpusError, match=r"normalized\.txt: no such file"):
        open_corpus(f"libritts:{tmp_path}")


def test_vctk_is_that_of_torchaudio(tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "VCTK-Corpus-0.92"
    names = ("p225/p225_001", "p225/p225_002", "p362/p362_001", "s5/s5_001")
    for name in names:
        (folder / "txt" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "txt" / f"{name}.txt").write_text(f"Words of {name}.\n")
    for name in (*names[:2], names[3], "p315/p315_001"):  # a text without a recording, and one the other way round
        write_wav(folder / "wav48_silence_trimmed" / f"{name}_mic1.flac")
    (folder / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \np225  23  F    English    Southern  England\n\ns5  18\n"
    )
    monkeypatch.setattr(torchaudio, "load", lambda path: (path, 48000))
    corpus = open_corpus(f"vctk:{tmp_path}")
    expected = torchaudio.datasets.VCTK_092(str(tmp_path), mic_id="mic1")
    assert corpus.name == "vctk-all"
    for utterance, (path, _, text, speaker, number) in zip(corpus, expected, strict=True):
        assert utterance.path == Path(path)
        assert (utterance.speaker, utterance.id) == (speaker, f"{speaker}_{number}")
        assert utterance.text == text.strip()
    about = {utterance.speaker: utterance.labels for utterance in corpus}
    assert about == {"p225": {"split": "all", "gender": "f", "accent": "English"}, "s5": {"split": "all"}}


def test_mandarin_sets_have_their_texts_and_syllables(tmp_path: Path, write_wav: WriteWav) -> None:
    aishell, thchs = tmp_path / "data_aishell", tmp_path / "data_thchs30"
    for name in ("test/S0764/BAC009S0764W0121", "train/S0002/BAC009S0002W0122", "test/S0764/BAC009S0764W0999"):
        write_wav(aishell / "wav" / f"{name}.wav")
    (aishell / "transcript").mkdir()
    (aishell / "transcript" / "aishell_transcript_v0.8.txt").write_text(
        "BAC009S0002W0122 而 对 楼市\nBAC009S0764W0121 甚至 出现 交易\n", encoding="utf-8"
    )
    (one,) = open_corpus(f"aishell:{tmp_path}")
    assert (one.id, one.speaker, one.language, one.text) == ("BAC009S0764W0121", "S0764", "cmn", "甚至 出现 交易")
    assert [item.text for item in open_corpus(f"aishell:{aishell}?split=train")] == ["而 对 楼市"]
    write_wav(thchs / "test" / "D11_750.wav")
    (thchs / "data").mkdir()
    (thchs / "data" / "D11_750.wav.trn").write_text(
        "东北军 的\ndong1 bei3 jun1 de5\nd ong1 b ei3\n", encoding="utf-8"
    )
    (two,) = open_corpus(f"thchs-30:{tmp_path}")
    assert (two.id, two.speaker, two.text) == ("D11_750", "D11", "东北军 的")
    assert two.labels == {"split": "test", "pinyin": "dong1 bei3 jun1 de5"}
    (thchs / "data" / "D11_750.wav.trn").unlink()
    with pytest.raises(CorpusError, match=r"D11_750\.wav\.trn: no such file"):
        open_corpus(f"thchs-30:{tmp_path}")


def test_a_text_in_another_encoding_is_told_with_its_file(tmp_path: Path, write_wav: WriteWav) -> None:
    folder = tmp_path / "data_thchs30"
    write_wav(folder / "test" / "D11_750.wav")
    (folder / "data").mkdir()
    (folder / "data" / "D11_750.wav.trn").write_bytes("东北军 的\n".encode("gbk"))
    with pytest.raises(CorpusError, match=r"D11_750\.wav\.trn: not UTF-8"):
        open_corpus(f"thchs-30:{tmp_path}")


def test_lists_and_tables_in_another_encoding_are_told_with_their_file(speech_commands: Path, fluent: Path) -> None:
    (speech_commands / "testing_list.txt").write_bytes("cat/über_nohash_0.wav\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"testing_list\.txt: not UTF-8"):
        open_corpus(f"speech-commands:{speech_commands}")
    (fluent / "data" / "test_data.csv").write_bytes(FLUENT.replace("Louder", "Plus élevé").encode("latin-1"))
    with pytest.raises(CorpusError, match=r"test_data\.csv: not UTF-8"):
        open_corpus(f"fluent-speech-commands:{fluent}?split=test")


def test_archives_of_speakers_that_are_not_unpacked_are_told(tmp_path: Path, write_wav: WriteWav) -> None:
    folder = tmp_path / "data_aishell"
    (folder / "transcript").mkdir(parents=True)
    (folder / "transcript" / "aishell_transcript_v0.8.txt").write_text("BAC009S0764W0121 甚至\n", encoding="utf-8")
    (folder / "wav").mkdir()
    with pytest.raises(CorpusError, match="no recordings in test"):
        open_corpus(f"aishell:{tmp_path}")
    for name in ("S0002", "S0764", "S0003"):
        (folder / "wav" / f"{name}.tar.gz").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"but 3 archives \(S0002\.tar\.gz \.\. S0764\.tar\.gz\)\. Unpack"):
        open_corpus(f"aishell:{tmp_path}")
    write_wav(folder / "wav" / "test" / "S0764" / "BAC009S0764W0121.wav")
    assert len(open_corpus(f"aishell:{tmp_path}")) == 1
    with pytest.raises(CorpusError, match="no recordings of dev, but 3 archives"):
        open_corpus(f"aishell:{tmp_path}?split=dev")


def test_pieces_of_music_have_titles(tmp_path: Path, write_wav: WriteWav) -> None:
    header = "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration\n"
    rows = [
        f'Alban Berg,"Sonata, Op. 1",{split},2018,2018/{split}.midi,2018/{split}.wav,698.6\n' for split in SPLITS
    ]
    (tmp_path / "maestro-v3.0.0.csv").write_text("".join([header, *rows]))
    for split in SPLITS:
        write_wav(tmp_path / "2018" / f"{split}.wav")
    (piece,) = open_corpus(f"maestro:{tmp_path}?split=validation")
    assert (piece.id, piece.speaker, piece.text) == ("2018/validation", "", "")
    assert piece.labels == {
        "split": "validation",
        "composer": "Alban Berg",
        "title": "Sonata, Op. 1",
        "year": "2018",
    }


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
