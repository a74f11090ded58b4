"""The journal: what was added is there, in corpus order, whatever the order of adding."""

from pathlib import Path

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
