import csv
import hashlib
import re
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from corpora.writers import WriteManifest, WriteWav

from tokbench.corpora.manifest import ManifestCorpus
from tokbench.corpora.registry import open_corpus
from tokbench.errors import AudioFileError, CorpusError, EmptyAudioError
from tokbench.specs.base import file_sha256


def read(path: Path, query: str = "") -> ManifestCorpus:
    corpus = open_corpus(f"manifest:{path}{query}")
    assert isinstance(corpus, ManifestCorpus)
    return corpus


def test_columns_become_fields_and_the_others_labels(write_manifest: WriteManifest) -> None:
    path = write_manifest(
        "path,id,speaker,language,text,mood,licence\na.wav,one,ann,en,Good day,calm,CC0\nb.wav,two,,,,,CC0\n"
    )
    first, second = read(path)
    assert (first.id, first.speaker, first.language, first.text) == ("one", "ann", "en", "Good day")
    assert first.labels == {"mood": "calm", "licence": "CC0"}
    assert second.labels == {"mood": "", "licence": "CC0"}
    assert (first.start_s, first.duration_s) == (0.0, None)
    assert first.read().num_samples == 1600


def test_without_an_id_the_path_is_the_id(write_manifest: WriteManifest, write_wav: WriteWav) -> None:
    path = write_manifest("path\na.wav\ndeep/er.x/d.flac\n")
    write_wav(path.parent / "deep/er.x/d.flac")
    assert [utterance.id for utterance in read(path)] == ["a", "deep/er.x/d"]


def test_an_absolute_path_leaves_no_folder_of_this_machine_in_the_id(
    write_manifest: WriteManifest, write_wav: WriteWav, tmp_path: Path
) -> None:
    outside = write_wav(tmp_path / "elsewhere" / "d.wav")
    path = write_manifest("")
    path.write_text(f"path\n{path.parent.resolve() / 'a.wav'}\n{outside}\n")
    assert [utterance.id for utterance in read(path)] == ["a", "elsewhere/d"]


def test_a_start_makes_a_segment_and_a_duration_alone_does_not(write_manifest: WriteManifest) -> None:
    segments = read(write_manifest("id,path,start_s,duration_s\n1,a.wav,0.02,0.03\n2,a.wav,0.05,\n3,a.wav,,\n"))
    assert [utterance.read().num_samples for utterance in segments] == [480, 800, 1600]
    whole = read(write_manifest("path,duration_s\na.wav,0.1\nb.wav,0.0997\n"))
    assert [utterance.read().num_samples for utterance in whole] == [1600, 1600]


def test_the_total_duration_is_known_where_every_row_tells_its_length(write_manifest: WriteManifest) -> None:
    assert read(write_manifest("path,duration_s\na.wav,0.25\nb.wav,0.5\n")).total_duration_s == 0.75
    assert read(write_manifest("path,duration_s\na.wav,0.25\nb.wav,\n")).total_duration_s is None
    assert read(write_manifest("path\na.wav\n")).total_duration_s is None


def test_filters_keep_the_rows_that_have_one_of_the_values_in_each_column(write_manifest: WriteManifest) -> None:
    path = write_manifest("path,split,mood\na.wav,train,calm\nb.wav,test,calm\nc.wav,dev,cross\n")
    assert [utterance.id for utterance in read(path, "?split=test|dev")] == ["b", "c"]
    assert [utterance.id for utterance in read(path, "?split=test|dev&mood=cross")] == ["c"]


def test_name_and_reference_carry_the_data_set_and_no_folder_of_this_machine(write_manifest: WriteManifest) -> None:
    corpus = read(write_manifest("path,split\na.wav,test\n"), "?split=test")
    assert corpus.name == "my_data-test"
    assert corpus.reference == "manifest:my data/manifest.csv?split=test"
    other = read(write_manifest("path\na.wav\n", name="dev set.csv"))
    assert other.name == "my_data-dev_set"


def test_the_hash_follows_the_content_and_not_the_place(write_manifest: WriteManifest, tmp_path: Path) -> None:
    text = "path,mood\na.wav,calm\nb.wav,cross\n"
    original = read(write_manifest(text))
    moved = shutil.copytree(original.path.parent, tmp_path / "elsewhere")
    assert read(moved / "manifest.csv").sha256 == original.sha256
    changes = {
        read(write_manifest(changed)).sha256
        for changed in (
            text.replace("calm", "glad"),
            "path,mood\nb.wav,cross\na.wav,calm\n",
            "path,mood\na.wav,calm\n",
            "path,mood,sha256\na.wav,calm,123\nb.wav,cross,456\n",
        )
    }
    soundfile.write(moved / "a.wav", [0.0] * 7, 16000)
    changes.add(read(moved / "manifest.csv").sha256)
    assert len(changes | {original.sha256}) == 6


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no column named 'path'; the columns are none"),
        ("file,mood\na.wav,calm\n", "no column named 'path'; the columns are file, mood"),
        ("path,path\na.wav,a.wav\n", "a column name occurs twice"),
        ("path\n", "no rows below the header"),
        ("path\na.wav\nnone.wav\n", "line 3: no such file: none.wav"),
        ("path\n.\n", "line 2: not a file: ."),
        ("path,id\na.wav,x\nb.wav,y\nc.wav,x\n", "line 4: the id 'x' stands on line 2 already"),
        ("path\na.wav\na.wav\n", "line 3: the id 'a' stands on line 2 already"),
        ("path,mood\na.wav\n", "line 2: 1 cells under 2 columns"),
        ("path,mood\na.wav,calm,x\n", "line 2: 3 cells under 2 columns"),
        ("path,start_s\na.wav,soon\n", "line 2: start_s: expected seconds from 0 on, found 'soon'"),
        ("path,start_s\na.wav,-1\n", "line 2: start_s: expected seconds from 0 on, found '-1'"),
        ("path,duration_s\na.wav,0\n", "line 2: duration_s: expected seconds above 0, found '0'"),
        ("path,duration_s\na.wav,inf\n", "line 2: duration_s: expected seconds above 0, found 'inf'"),
        ("path,mood\n,calm\n", "line 2: the path is empty"),
        ('path,mood\na.wav,"calm\n', "not CSV: unexpected end of data"),
        (f"path\n{'x' * 300}.wav\n", "File name too long"),
        ("path\na\0.wav\n", "line 2: "),
    ],
)
def test_a_bad_manifest_tells_the_line_and_the_reason(
    write_manifest: WriteManifest, text: str, sentence: str
) -> None:
    with pytest.raises(CorpusError, match=re.escape(sentence)) as caught:
        read(write_manifest(text))
    assert "manifest.csv: " in str(caught.value)


def test_bytes_that_are_not_utf8_are_told(write_manifest: WriteManifest) -> None:
    path = write_manifest("path,text\na.wav,schön\n", encoding="latin-1")
    with pytest.raises(CorpusError, match="not UTF-8; save the file with that encoding"):
        read(path)


def test_a_byte_order_mark_is_no_part_of_the_first_column(write_manifest: WriteManifest) -> None:
    assert len(read(write_manifest("path\na.wav\n", encoding="utf-8-sig"))) == 1


def test_five_problems_are_told_and_the_others_counted(write_manifest: WriteManifest) -> None:
    rows = "".join(f"none{i}.wav\n" for i in range(8))
    with pytest.raises(CorpusError, match=r"line 6: no such file: none4\.wav; and 3 more$") as caught:
        read(write_manifest(f"path\n{rows}"))
    assert str(caught.value).count("no such file") == 5


def test_a_manifest_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none\.csv: no such file; expected a CSV manifest"):
        read(tmp_path / "none.csv")
    with pytest.raises(CorpusError, match="not a file; expected a CSV manifest"):
        read(tmp_path)


def test_an_unknown_filter_column_is_answered_with_the_columns_there_are(write_manifest: WriteManifest) -> None:
    with pytest.raises(CorpusError, match="no column named 'spilt' to filter by; the columns are path, split"):
        read(write_manifest("path,split\na.wav,test\n"), "?spilt=test")


def test_a_filter_that_leaves_nothing_tells_the_values_there_are(write_manifest: WriteManifest) -> None:
    path = write_manifest("path,split\na.wav,test\nb.wav,train\n")
    with pytest.raises(CorpusError, match=re.escape("no row has split=tset (split is 'test', 'train')")):
        read(path, "?split=tset")


def test_rows_outside_of_the_filter_need_no_files(write_manifest: WriteManifest) -> None:
    path = write_manifest("path,split\na.wav,test\nnot here.wav,train\n")
    assert len(read(path, "?split=test")) == 1


@pytest.mark.parametrize(
    "name", ["two words", "it's", 'say "aah"', "<b>bold</b> & co", "話し声", "голос", "a,b", "ü"]
)
def test_any_name_is_carried_as_it_is(write_manifest: WriteManifest, write_wav: WriteWav, name: str) -> None:
    path = write_manifest("")
    file_name = name.replace("/", "_")
    write_wav(path.parent / f"{file_name}.wav")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "id", "text"], [f"{file_name}.wav", name, name]])
    (utterance,) = read(path)
    assert (utterance.id, utterance.text) == (name, name)
    assert utterance.read().num_samples == 1600
    assert [item.id for item in read(path, f"?id={name.replace('&', '%26')}")] == [name]


def test_what_is_no_audio_is_found_when_it_is_read(write_manifest: WriteManifest, write_wav: WriteWav) -> None:
    path = write_manifest("path\ntext.wav\nempty.wav\nshort.flac\nsilent.wav\n")
    (path.parent / "text.wav").write_text("this is not a recording")
    (path.parent / "empty.wav").write_bytes(b"")
    whole = write_wav(path.parent / "short.flac", 16000).read_bytes()
    (path.parent / "short.flac").write_bytes(whole[: len(whole) // 2])
    soundfile.write(path.parent / "silent.wav", [], 16000)
    text, empty, short, silent = read(path)
    with pytest.raises(AudioFileError, match=r"text\.wav: not readable as audio"):
        text.read()
    with pytest.raises(AudioFileError, match=r"empty\.wav: not readable as audio"):
        empty.read()
    with pytest.raises(AudioFileError, match=r"short\.flac: not readable as audio"):
        short.read()
    with pytest.raises(EmptyAudioError, match=r"silent\.wav has 0 samples"):
        silent.read()


def test_a_file_of_another_hash_is_told_when_it_is_read(write_manifest: WriteManifest, write_wav: WriteWav) -> None:
    path = write_manifest("path\na.wav\n")
    right, wrong = file_sha256(path.parent / "a.wav"), "0" * 64
    write_manifest(f"path,sha256,target_path,target_sha256\na.wav,{right.upper()},b.wav,{wrong}\nc.wav,{wrong},,\n")
    first, second = read(path)
    assert first.read().num_samples == 1600
    with pytest.raises(
        AudioFileError, match=rf"b\.wav: .*its manifest has the SHA-256 {wrong}, and the file \w{{64}}"
    ):
        first.read_companion("target")
    with pytest.raises(AudioFileError, match=rf"c\.wav: .*{wrong}"):
        second.read()
    write_wav(first.path, 800)  # changed after it was read
    with pytest.raises(AudioFileError, match=r"a\.wav"):
        first.read()


def test_a_file_changed_after_it_was_opened_is_told(write_manifest: WriteManifest) -> None:
    corpus = read(write_manifest("path,mood\na.wav,calm\n"))
    corpus.path.write_text("path,mood\na.wav\n")
    with pytest.raises(CorpusError, match="line 2: 1 cells under 2 columns"):
        list(corpus)


def test_a_corpus_can_be_gone_through_again_and_by_two_at_once(write_manifest: WriteManifest) -> None:
    corpus = read(write_manifest("path\na.wav\nb.wav\n"))
    assert [(a.id, b.id) for a, b in zip(corpus, corpus, strict=True)] == [("a", "a"), ("b", "b")]


def test_memory_does_not_grow_with_the_number_of_rows(write_manifest: WriteManifest) -> None:
    num_rows = 20_000
    rows = "".join(f"a.wav,utterance {i},some text that takes up space {i}\n" for i in range(num_rows))
    path = write_manifest(f"path,id,text\n{rows}")
    tracemalloc.start()
    corpus = read(path)
    _, peak_at_opening = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    assert sum(1 for _ in corpus) == len(corpus) == num_rows
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 200_000
    assert peak_at_opening < 100 * num_rows  # eight bytes a row, sorted; the ids alone would take more


@pytest.mark.speech
def test_the_recorded_speech_is_read_as_its_readme_counts_it(speech_dir: Path) -> None:
    counts = Counter()
    with (speech_dir / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            counts[row["corpus"], row["split"]] += 1
    for (corpus, split), count in counts.items():
        assert len(read(speech_dir / "manifest.csv", f"?corpus={corpus}&split={split}")) == count
    assert counts["librispeech", "train"] == 251
    assert counts["librispeech", "test"] == 60
    assert counts["noise", "train"] == 5
    assert counts["rir", "train"] == 4


@pytest.mark.speech
def test_recorded_speech_has_a_name_a_licence_and_all_of_its_samples(speech_dir: Path) -> None:
    corpus = read(speech_dir / "manifest.csv", "?corpus=librispeech&split=test")
    assert corpus.name == "speech-librispeech-test"
    assert corpus.reference == "manifest:speech/manifest.csv?corpus=librispeech&split=test"
    assert corpus.licence == "CC-BY-4.0"
    assert len({utterance.speaker for utterance in corpus}) == 6
    first = next(iter(corpus))
    assert first.read().num_samples == soundfile.info(first.path).frames
    assert corpus.total_duration_s == pytest.approx(
        sum(soundfile.info(utterance.path).duration for utterance in corpus), abs=0.01 * len(corpus)
    )


def test_the_hash_is_what_a_second_reading_of_its_definition_gives(write_manifest: WriteManifest) -> None:
    corpus = read(write_manifest("path,sha256,mood\na.wav,abc,calm\n"))
    line = '["a", 0.0, null, "", "", "", [["mood", "calm"]], "abc"]\n'
    assert corpus.sha256 == hashlib.sha256(line.encode()).hexdigest()
