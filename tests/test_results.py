"""The committed records are whole, within bounds, and make sense."""

import math
from pathlib import Path

import pandas as pd
import pytest

from tokbench.codecs.registry import TRAINED, expand, fingerprint, list_cards
from tokbench.judges.registry import find_recognizer
from tokbench.metrics.catalogue import METRICS
from tokbench.records import Record, RecordFiles, read_records
from tokbench.runners.registry import runner_type
from tokbench.specs.task import find_task
from tokbench.training.taught import SHIPPED

RESULTS = Path(__file__).parent.parent / "results"
RECORDS = dict(read_records(RESULTS))
CELLS = sorted({(record.task.id, record.corpus.name) for record in RECORDS.values()})
FAMILIES = ("mulaw", "opus", "spectrogram-kmeans")


TRAINED_HERE = sorted(name for name in list_cards() if (TRAINED / name).is_dir())


@pytest.mark.parametrize("name", TRAINED_HERE)
def test_records_of_a_trained_codec_are_of_the_codec_as_it_is(name: str) -> None:
    today = {reference.setting: fingerprint(reference) for reference in expand(f"{name}:all")}
    for path, record in RECORDS.items():
        if record.codec.name == name and record.codec.fingerprint is not None:
            assert record.codec.fingerprint == today[record.codec.setting], path


@pytest.mark.parametrize("task", sorted({record.task.id for record in RECORDS.values()}))
def test_records_say_how_their_intervals_were_made(task: str) -> None:
    told = {record.interval.method for record in RECORDS.values() if record.task.id == task}
    asked, _ = find_task(task)
    runner = runner_type(asked.kind)
    # Of Fréchet distances, records from before the jackknife say that theirs is a bootstrap.
    assert told <= {runner.interval_method_of(asked.metrics), runner.interval_method}


def test_recognizers_that_are_taught_are_those_that_come_with_tokbench() -> None:
    shipped = {find_recognizer(f"ctc:{path}").label for path in SHIPPED.glob("recognizers/*/*.safetensors")}
    named = {
        summary.judge.partition(";")[0]  # of codecs, others hear
        for record in RECORDS.values()
        for summary in record.metrics
        if summary.judge is not None and summary.judge.startswith("ctc:")
    }
    assert named <= shipped


def value(record: Record, name: str) -> float:
    summary = record.metric(name)
    assert summary is not None
    assert summary.value is not None, (record.codec.name, name, summary.reasons)
    return summary.value


def of(task: str, corpus: str, codec: str) -> list[Record]:
    """Return the records of a codec, in the order of its card: from the lowest bitrate to the highest."""
    settings = list(list_cards()[codec].settings)
    found = [
        record
        for record in RECORDS.values()
        if (record.task.id, record.corpus.name, record.codec.name) == (task, corpus, codec)
    ]
    return sorted(found, key=lambda record: settings.index(record.codec.setting))


def test_there_are_records_on_made_and_on_recorded_speech() -> None:
    assert {"synth.v1", "speech-librispeech-test"} <= {corpus for _, corpus in CELLS}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.relative_to(RESULTS).as_posix())
def test_a_record_is_whole_and_within_bounds(path: Path) -> None:
    record = RECORDS[path]
    files = RecordFiles.of(RESULTS, record)
    assert files.record == path
    assert find_task(record.task.id)[1] == record.task.sha256, "the task file changed after it was run"
    assert not str(record.provenance["commit"]).endswith("+changes")
    if record.status == "skipped":
        assert record.reason
        assert not files.utterances.exists()
        assert all(summary.value is None for summary in record.metrics)
        return
    rows = pd.read_parquet(files.utterances)
    assert len(rows) == record.corpus.num_utterances
    for summary in record.metrics:
        assert summary.num_ok <= summary.num_total
        if summary.value is not None:
            assert METRICS[summary.name].accepts(summary.value)
            assert summary.num_ok == summary.num_total
        if summary.value is not None and summary.low is not None and summary.high is not None:
            assert summary.low <= summary.value + 1e-9 or math.isclose(summary.low, summary.value)
            assert summary.value <= summary.high + 1e-9 or math.isclose(summary.high, summary.value)


@pytest.mark.parametrize("corpus", [corpus for task, corpus in CELLS if task == "reconstruction.v1"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("metric", "sign"), [("pesq_wb", 1), ("stoi", 1), ("mel_distance_dac", -1)])
def test_quality_rises_with_the_bitrate_of_a_family(corpus: str, family: str, metric: str, sign: int) -> None:
    values = [sign * value(record, metric) for record in of("reconstruction.v1", corpus, family)]
    assert len(values) >= 3
    assert values == sorted(values)


@pytest.mark.parametrize("corpus", [corpus for task, corpus in CELLS if task == "reconstruction.v1"])
def test_identity_is_the_ceiling_and_noise_the_floor(corpus: str) -> None:
    (identity, *_), (noise,) = (of("reconstruction.v1", corpus, name) for name in ("identity", "noise"))
    between = [record for family in FAMILIES for record in of("reconstruction.v1", corpus, family)]
    for name in ("pesq_wb", "pesq_nb", "stoi", "estoi", "visqol"):
        assert value(identity, name) >= max(value(record, name) for record in between)
        floor = noise.metric(name)
        assert floor is not None
        assert floor.low is not None
        # PESQ has no room below some codecs at 400 bit/s: noise may tie with them, and never be above.
        assert floor.low <= min(value(record, name) for record in between)
    assert value(identity, "pesq_wb") > 4.6
    assert value(identity, "stoi") > 0.999
    assert value(identity, "visqol") > 4.99


@pytest.mark.parametrize("corpus", [corpus for task, corpus in CELLS if task == "tokens.v1"])
@pytest.mark.parametrize("family", ["identity", *FAMILIES])
def test_no_entropy_coder_needs_more_than_the_nominal_bitrate(corpus: str, family: str) -> None:
    for record in of("tokens.v1", corpus, family):
        rate_bps = value(record, "bitrate_entropy_bps")
        assert rate_bps <= value(record, "bitrate_huffman_bps")
        # Codes of the last, partial frame count in the measured rates and not in the nominal one.
        assert rate_bps <= 1.02 * value(record, "bitrate_nominal_bps")
