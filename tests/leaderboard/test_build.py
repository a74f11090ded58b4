import re
import subprocess
import sys
from pathlib import Path

import pytest
from leaderboard.builder import Results, add_published, bitrate, summary_of

from tokbench.errors import SpecError, UnknownNameError, UsageError
from tokbench.leaderboard.build import NothingToShowError, OutputError, build
from tokbench.leaderboard.spec import list_leaderboards

QUALITY = {"visqol": [3.0, 3.5, 2.5, 3.0]}
PITCH = """
name = "pitch"
title = "Pitch"
question = "Which codecs keep the melody?"
reading = "Lower is better."
sort_by = "f0_rmse_cents"

[[groups]]
heading = "Pitch"
task = "reconstruction.v1"
columns = [{ metric = "f0_rmse_cents" }]
"""


def statuses(results: Results, out: Path, *, check: bool = False) -> dict[str, str]:
    done = build(["reconstruction"], results=results.folder, out=out, check=check)
    return {item.path.name: item.status for item in done}


@pytest.fixture
def out(results: Results, tmp_path: Path) -> Path:
    """Build the leaderboard of one codec."""
    results.add("opus", "12kbps", QUALITY)
    results.add_examples("opus", "12kbps")
    build(["reconstruction"], results=results.folder, out=tmp_path / "out")
    return tmp_path / "out"


def test_a_leaderboard_becomes_two_tables_and_a_page(out: Path) -> None:
    names = ["reconstruction.csv", "reconstruction.html", "reconstruction.long.csv"]
    assert sorted(path.name for path in out.iterdir()) == names


def test_a_second_build_changes_nothing(results: Results, out: Path) -> None:
    assert set(statuses(results, out).values()) == {"unchanged"}
    assert set(statuses(results, out, check=True).values()) == {"unchanged"}


def test_another_process_builds_the_same_bytes(results: Results, tmp_path: Path) -> None:
    add_published(results, num_examples=1, seconds=0.5)
    program = (
        "import pathlib, sys; from tokbench.leaderboard.build import build;"
        "build([], results=pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2]))"
    )
    for name, seed in (("first", "1"), ("second", "2")):
        arguments = [sys.executable, "-c", program, str(results.folder), str(tmp_path / name)]
        subprocess.run(arguments, check=True, env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"})
    first = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
    assert first == second
    assert len(first) == 9


@pytest.mark.parametrize("name", ["reconstruction.csv", "reconstruction.long.csv", "reconstruction.html"])
def test_a_check_finds_one_changed_byte_and_says_where(results: Results, out: Path, name: str) -> None:
    path = out / name
    content = path.read_bytes()
    offset = content.index(b"opus")
    path.write_bytes(content[:offset] + b"X" + content[offset + 1 :])
    found = {
        item.path.name: item for item in build(["reconstruction"], results=results.folder, out=out, check=True)
    }
    assert [item.path.name for item in found.values() if item.status == "differs"] == [name]
    line = content.count(b"\n", 0, offset) + 1
    assert found[name].detail.startswith(f"line {line}, byte ")
    assert "Xpus" in found[name].detail


def test_a_check_writes_nothing(results: Results, out: Path) -> None:
    (out / "reconstruction.csv").unlink()
    (out / "reconstruction.html").write_text("edited")
    assert statuses(results, out, check=True) == {
        "reconstruction.csv": "differs",
        "reconstruction.html": "differs",
        "reconstruction.long.csv": "unchanged",
    }
    assert not (out / "reconstruction.csv").exists()
    assert (out / "reconstruction.html").read_text() == "edited"


def test_a_changed_record_changes_the_page(results: Results, out: Path) -> None:
    results.add("opus", "12kbps", {"visqol": [3.0, 3.5, 2.5, 3.4]})
    assert set(statuses(results, out, check=True).values()) == {"differs"}


def test_sounds_beside_the_page_come_and_go_with_it(results: Results, tmp_path: Path) -> None:
    for index in range(8):
        results.add(f"codec {index}", "1", QUALITY)
        results.add_examples(f"codec {index}", "1", seconds=6.0, num=2, noise=0.2 * index)
    out = tmp_path / "out"
    written = statuses(results, out)
    sounds = sorted(path.name for path in (out / "reconstruction.audio").iterdir())
    assert sounds
    assert set(sounds) <= set(written)
    stray = out / "reconstruction.audio" / "stray.flac"
    stray.write_bytes(b"old")
    assert statuses(results, out, check=True)["stray.flac"] == "differs"
    assert statuses(results, out)["stray.flac"] == "written"
    assert sorted(path.name for path in (out / "reconstruction.audio").iterdir()) == sounds


def test_a_leaderboard_without_records_is_an_error_if_it_was_named_or_none_has_any(
    results: Results, tmp_path: Path
) -> None:
    with pytest.raises(
        NothingToShowError, match=r"no records for the leaderboard 'tokens' .* tokbench run .* --task tokens\.v1"
    ):
        build(["tokens"], results=results.folder, out=tmp_path)
    with pytest.raises(NothingToShowError, match=r"no records for any leaderboard below .* --task TASK"):
        build([], results=results.folder, out=tmp_path, check=True)
    results.add("mulaw", "8bit", task="tone.v1", summaries=[summary_of("probe_tone_accuracy", [0.5])])
    done = {item.path.name: item.status for item in build([], results=results.folder, out=tmp_path)}
    assert {f"{name}.html" for name in list_leaderboards()} <= done.keys()
    assert done["tone.html"] == "written"
    assert done["phonetics.html"] == "skipped"


def test_a_check_finds_what_is_left_of_records_that_are_gone(results: Results, out: Path) -> None:
    build([], results=results.folder, out=out)
    results.add("mulaw", "8bit", task="tokens.v1", summaries=[bitrate(64000)])
    build(["tokens"], results=results.folder, out=out)
    results.files("mulaw", "8bit", "tokens.v1").record.unlink()
    found = [item for item in build([], results=results.folder, out=out, check=True) if item.status == "differs"]
    assert ("tokens.html", "none of its tasks was run") in [(item.path.name, item.detail) for item in found]


def test_an_unknown_leaderboard_is_an_error(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'tokens'"):
        build(["token"], results=results.folder, out=tmp_path)


def test_a_folder_that_cannot_be_written_to_is_an_error_that_says_what_to_do(
    results: Results, tmp_path: Path
) -> None:
    results.add("opus", "12kbps", QUALITY)
    (tmp_path / "out").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="Choose another folder with --out DIR"):
        build(["reconstruction"], results=results.folder, out=tmp_path / "out")


def test_no_leaderboard_needs_torch(results: Results, tmp_path: Path) -> None:
    results.add("opus", "12kbps", QUALITY)
    program = (
        "import pathlib, sys; import tokbench.leaderboard.compare;"
        "from tokbench.leaderboard.build import build;"
        "build(['reconstruction'], results=pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2]));"
        "print(sorted({'torch', 'torchaudio', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", program, str(results.folder), str(tmp_path / "out")]
    assert subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_bitrates_alone_make_no_page_of_another_question(results: Results, tmp_path: Path) -> None:
    results.add("mulaw", "8bit", task="tokens.v1", summaries=[bitrate(64000)])
    done = {item.path.name: item.status for item in build([], results=results.folder, out=tmp_path)}
    assert done["tokens.html"] == "written"
    assert done["phonetics.html"] == done["overview.html"] == "skipped"


def links(page: Path) -> dict[str, str]:
    """Return the titles of the pages that a page links to, by their addresses."""
    bar = re.search(r'<nav class="pages".*?</nav>', page.read_text(), re.DOTALL)
    return dict(re.findall(r'<a href="([^"]*)"[^>]*>([^<]*)</a>', bar[0] if bar else ""))


def test_pages_that_are_built_together_link_to_each_other_and_to_no_other(results: Results, tmp_path: Path) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add("opus", "12kbps", task="tokens.v1", summaries=[bitrate(12000)])
    build([], results=results.folder, out=tmp_path)
    built = {path.name for path in tmp_path.glob("*.html")}
    assert built == {"classical.html", "overview.html", "reconstruction.html", "tokens.html"} & built
    for name in built:
        assert set(links(tmp_path / name)) == built
        assert len(re.findall('aria-current="page"', (tmp_path / name).read_text())) == 1
    assert links(tmp_path / "tokens.html")["reconstruction.html"] == "Reconstruction"
    done = build([], results=results.folder, out=tmp_path, check=True)
    assert {item.status for item in done} == {"unchanged", "skipped"}


def test_a_page_links_to_those_that_lie_there_already(results: Results, out: Path) -> None:
    assert links(out / "reconstruction.html") == {}  # nothing but itself
    results.add("opus", "12kbps", task="tokens.v1", summaries=[bitrate(12000)])
    build(["tokens"], results=results.folder, out=out)
    assert links(out / "tokens.html") == {"reconstruction.html": "Reconstruction", "tokens.html": "Tokens"}
    done = build(["tokens"], results=results.folder, out=out, check=True)
    assert {item.status for item in done} == {"unchanged"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("f0_rmse_cents", "f0_rmse_cent"), "no metric named 'f0_rmse_cent'. Did you mean 'f0_rmse_cents'?"),
        (
            ("reconstruction.v1", "reconstruction.v9"),
            "no task named 'reconstruction.v9'. Did you mean 'reconstruction.v1'?",
        ),
    ],
)
def test_a_column_of_what_nobody_knows_is_an_error(
    results: Results, tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    results.add("opus", "12kbps", QUALITY)
    path = tmp_path / "pitch.toml"
    path.write_text(PITCH.replace(*change))
    with pytest.raises(SpecError, match=re.escape(f"pitch.toml: {problem}")) as error:
        build([str(path)], results=results.folder, out=tmp_path / "out")
    assert isinstance(error.value, UsageError)  # exit code 2
    assert not (tmp_path / "out").exists()


def test_tasks_and_metrics_of_records_are_known(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "pitch.toml"
    path.write_text(PITCH.replace("reconstruction.v1", "of-mine.v1").replace("f0_rmse_cents", "of_mine"))
    results.add("opus", "12kbps", task="of-mine.v1", summaries=[summary_of("of_mine", [1.0])])
    done = build([str(path)], results=results.folder, out=tmp_path / "out")
    assert {item.status for item in done} == {"written"}
