"""The page on language models: its tables follow from the specs and from records, and the rest stays as it is."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from docs_pages import imported
from leaderboard.builder import Results, summary_of

from tokbench.metrics.catalogue import METRICS
from tokbench.specs.codec import list_lms

PAGE = """\
Before.

<!-- records: made by docs/generate.py -->
what was there
<!-- end of records -->

Between.

<!-- specs: made by docs/generate.py -->
<!-- end of specs -->

After.
"""


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from imported(monkeypatch, "lms_page")


def record(results: Results, codec: str, task: str, **groups: tuple[str, float]) -> None:
    summaries = []
    for group, (metric, value) in groups.items():
        fields: dict[str, Any] = {"better": METRICS[metric].better, "low": value - 0.1, "high": value + 0.1}
        summaries.append(summary_of(metric, [value] * 3, group=group, **fields))
    results.add(codec, "1", task=task, summaries=summaries, bitrate_bps=1500.0)


def test_nothing_but_the_tables_is_made_anew(docs: ModuleType, tmp_path: Path) -> None:
    page = docs.lms_page(PAGE, tmp_path)
    assert [page.count(f"{part}.\n") for part in ("Before", "Between", "After")] == [1, 1, 1]
    assert "what was there" not in page
    assert "No records yet." in page
    assert all(f"| `{name}` |" in page for name in list_lms())
    assert docs.lms_page(page, tmp_path) == page


def test_records_stand_best_first_with_their_floors_and_ceilings(docs: ModuleType, tmp_path: Path) -> None:
    results = Results(tmp_path / "results", corpus="synth-commands.v1-digits", num_utterances=3)
    for codec, error in (("worse", 0.6), ("better", 0.3)):
        values = {"all": ("wer", error), "original": ("wer", 0.2), "untrained": ("wer", 0.9)}
        record(results, codec, "lm-asr.v1", **values)
    lines = docs.lms_page(PAGE, results.folder).splitlines()
    head = lines.index(
        "| corpus | tokenizer | kbit/s | model | original | untrained | parameters | steps | tokens | audio, s |"
    )
    assert "lower is better; 1 seed" in lines[head - 2]
    assert lines[head + 2].startswith(
        "| synth-commands.v1-digits | `better:1` | 1.50 | 0.300 (0.200 to 0.400) | 0.200 ("
    )
    assert "`worse:1`" in lines[head + 3]


def test_tokenizers_stand_beside_the_model_that_was_trained_on_them(docs: ModuleType, tmp_path: Path) -> None:
    results = Results(tmp_path / "results", corpus="synth-words.v1-digit", num_utterances=3)
    for codec, task in (("second", "lm-tts.v1"), ("first", "lm-tts.v1"), ("first", "lm-tts-no-phones.v1")):
        record(results, codec, task, all=("class_accuracy", 0.6))
    (line,) = [each for each in docs.lms_page(PAGE, results.folder).splitlines() if each.startswith("| `valle` |")]
    assert line.endswith("| `tts` | `first`, `second` |")
