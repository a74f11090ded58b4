"""Ctrl-C, kill -9 and a full disk lose at most the utterance in hand."""

import os
import resource
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from running import Cli, codec, command, environment, stable_bytes


def arguments(
    corpus: Path, task: Path, results: str, jobs: int = 2, codec_name: str = "Slow"
) -> tuple[object, ...]:
    return (
        "run", "--codec", codec(codec_name), "--task", task, "--corpus", f"folder:{corpus}",
        "--results", results, "--jobs", jobs,
    )  # fmt: skip


def num_finished(folder: Path) -> int:
    journals = list(folder.rglob("*.journal.sqlite"))
    if not journals:
        return 0
    try:
        with sqlite3.connect(f"file:{journals[0]}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def hear_ctrl_c() -> None:
    """Do not ignore Ctrl-C, as what is started in the background does, and whatever that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(corpus: Path, home: Path, marks: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        cwd=corpus.parent,
        env=environment(home, {"TOKBENCH_TEST_MARKS": str(marks), "TOKBENCH_CACHE_BYTES": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509  (a test has no threads of its own)
    )


def start_and_wait(corpus: Path, task: Path, home: Path, marks: Path) -> subprocess.Popen[str]:
    """Start a run and return when some utterances are finished and others are not."""
    process = start(corpus, home, marks, *arguments(corpus, task, "cut"))
    deadline = time.monotonic() + 120
    while num_finished(corpus.parent / "cut") < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run did not get under way"
        time.sleep(0.02)
    return process


def assert_resumes_to_the_same_bytes(cli: Cli, corpus: Path, task: Path, marks: Path) -> None:
    finished = num_finished(corpus.parent / "cut")
    assert 3 <= finished < 12
    marks.write_text("")
    settings = {"TOKBENCH_TEST_MARKS": str(marks), "TOKBENCH_CACHE_BYTES": "1"}
    resumed = cli(*arguments(corpus, task, "cut"), **settings)
    assert resumed.returncode == 0, resumed.stderr
    assert f"going on after {finished} utterances" in resumed.stderr
    assert len(marks.read_text()) <= 12 - finished  # codes of what was in hand may already be in the cache
    whole = cli(*arguments(corpus, task, "whole"), **settings)
    assert whole.returncode == 0, whole.stderr
    assert stable_bytes(corpus.parent / "cut") == stable_bytes(corpus.parent / "whole")


def children(pid: int) -> set[int]:
    """Return the processes of the session that ``pid`` leads."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == pid and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def kill_with_all_workers(process: subprocess.Popen[str]) -> None:
    """Kill the process alone, and wait until those that it started have left by themselves."""
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while children(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = children(process.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.communicate()  # which would have waited for the workers, too
    assert not left, "worker processes outlived the run"


def test_kill_9_ends_workers_that_are_busy_for_long(corpus: Path, task: Path, tokbench_home: Path) -> None:
    marks = corpus.parent / "marks"
    process = start(corpus, tokbench_home, marks, *arguments(corpus, task, "cut", codec_name="Busy"))
    deadline = time.monotonic() + 120
    while not marks.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run did not get under way"
        time.sleep(0.02)
    kill_with_all_workers(process)


def test_kill_9_loses_only_what_was_in_hand(cli: Cli, corpus: Path, task: Path, tokbench_home: Path) -> None:
    marks = corpus.parent / "marks"
    process = start_and_wait(corpus, task, tokbench_home, marks)
    kill_with_all_workers(process)
    assert_resumes_to_the_same_bytes(cli, corpus, task, marks)


def test_what_another_version_left_is_measured_anew(
    cli: Cli, corpus: Path, task: Path, tokbench_home: Path
) -> None:
    marks = corpus.parent / "marks"
    settings = {"TOKBENCH_TEST_MARKS": str(marks), "TOKBENCH_CACHE_BYTES": "1"}
    process = start_and_wait(corpus, task, tokbench_home, marks)
    kill_with_all_workers(process)
    (path,) = (corpus.parent / "cut").rglob("*.journal.sqlite")
    with closing(sqlite3.connect(path)) as connection, connection:
        ((key,),) = connection.execute("SELECT key FROM cell")
        connection.execute("UPDATE cell SET key = ?", (key.split()[0],))
        connection.execute("UPDATE entry SET payload = ?", (b"packed in another way",))
    done = cli(*arguments(corpus, task, "cut"), **settings)
    assert done.returncode == 0, done.stderr
    assert "going on after" not in done.stderr
    whole = cli(*arguments(corpus, task, "whole"), **settings)
    assert whole.returncode == 0, whole.stderr
    assert stable_bytes(corpus.parent / "cut") == stable_bytes(corpus.parent / "whole")


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(
    cli: Cli, corpus: Path, task: Path, tokbench_home: Path
) -> None:
    marks = corpus.parent / "marks"
    process = start_and_wait(corpus, task, tokbench_home, marks)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert_resumes_to_the_same_bytes(cli, corpus, task, marks)


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    corpus: Path, task: Path, tokbench_home: Path, cli: Cli
) -> None:
    marks = corpus.parent / "marks"
    settings = {"TOKBENCH_TEST_MARKS": str(marks), "TOKBENCH_CACHE_BYTES": "1"}

    def forbid_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = subprocess.run(
        command(*arguments(corpus, task, "cut", jobs=1), "--examples", 0),
        cwd=corpus.parent,
        env=environment(tokbench_home, settings),
        capture_output=True,
        text=True,
        preexec_fn=forbid_large_files,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert "Free some space" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    resumed = cli(*arguments(corpus, task, "cut"), "--examples", 0, **settings)
    assert resumed.returncode == 0, resumed.stderr
    whole = cli(*arguments(corpus, task, "whole"), "--examples", 0, **settings)
    assert whole.returncode == 0, whole.stderr
    assert stable_bytes(corpus.parent / "cut") == stable_bytes(corpus.parent / "whole")


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_damaged_journal_is_begun_anew(cli: Cli, corpus: Path, task: Path, content: bytes) -> None:
    folder = corpus.parent / "results" / "quick.v1" / "corpus" / "good"
    folder.mkdir(parents=True)
    (folder / "default.journal.sqlite").write_bytes(content)
    done = cli("run", "--codec", codec("Good"), "--task", task, "--corpus", f"folder:{corpus}")
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob("*.journal*"))
