"""The journal: what was added is there, in corpus order, whatever the order of adding."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tokbench.errors import RecordError
from tokbench.metrics.base import Score
from tokbench.run.journal import Entry, Journal
from tokbench.runners.base import Failure, Measurement


def entry(position: int) -> Entry:
    measurement = Measurement(
        scores={"stoi": Score(0.1 + 0.2, 1.0)},
        failures={"pesq_wb": Failure("too short", is_not_applicable=True), "snr_db": Failure("no")},
        facts={"delay_samples": 3, "inverted": False, "correlation": 0.25},
        costs={"encode_rtf": Score(0.5, 2.0)},
        payload=bytes([position]),
        audio_sha256="ab",
        duration_s=2.0,
    )
    return Entry(
        position=position,
        utterance=f"<b>音 {position}",
        speaker="s",
        language="en",
        error=None,
        measurement=measurement,
    )


def test_entries_come_back_in_corpus_order_and_unchanged(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite", "key") as journal:
        for position in (2, 0, 1):
            journal.add(entry(position))
        assert journal.positions() == {0, 1, 2}
        found = list(journal)
        assert [item.position for item in found] == [0, 1, 2]
        assert list(journal.payloads()) == [b"\0", b"\1", b"\2"]
        expected = entry(1)
        assert found[1].utterance == expected.utterance
        assert found[1].measurement.scores == expected.measurement.scores
        assert found[1].measurement.failures == expected.measurement.failures
        assert found[1].measurement.facts == expected.measurement.facts
        assert found[1].measurement.costs == expected.measurement.costs


def test_a_journal_is_reopened_by_the_same_cell_only(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite", "key") as journal:
        journal.add(entry(0))
    with Journal(tmp_path / "j.sqlite", "key") as journal:
        assert journal.positions() == {0}
    with Journal(tmp_path / "j.sqlite", "another key") as journal:
        assert journal.positions() == set()


def test_nothing_is_left_when_it_is_removed(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite", "key") as journal:
        journal.add(entry(0))
    journal.remove()
    assert list(tmp_path.iterdir()) == []


HOLD = """
import sys
from pathlib import Path
from tokbench.run.journal import Journal
with Journal(Path(sys.argv[1]), "key"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_kept_out_until_the_first_is_done_or_dead(tmp_path: Path) -> None:
    path = tmp_path / "8bit.journal.sqlite"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RecordError, match=r"another run is measuring 8bit\. Wait until it is done"):
            Journal(path, "key")
        holder.kill()
    with Journal(path, "key") as journal:
        journal.add(entry(0))


@pytest.mark.parametrize("content", [b"no journal at all, but long enough to be taken for one" * 9, b"\0" * 4096])
def test_a_file_that_is_no_journal_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j.sqlite").write_bytes(content)
    with Journal(tmp_path / "j.sqlite", "key") as journal:
        assert journal.positions() == set()


def test_a_disk_that_refuses_costs_no_finished_utterance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path / "j.sqlite", "key") as journal:
        journal.add(entry(0))

    def refuse(*_: object, **__: object) -> sqlite3.Connection:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", refuse)
        with pytest.raises(RecordError, match="database or disk is full"):
            Journal(tmp_path / "j.sqlite", "key")
    with Journal(tmp_path / "j.sqlite", "key") as journal:
        assert journal.positions() == {0}
