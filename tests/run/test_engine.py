"""Running: same bytes however it was run, and a broken codec costs only its own cells."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from running import Cli, codec, stable_bytes

from tokbench.records import Cost
from tokbench.run import engine
from tokbench.run.executor import WorkerDiedError
from tokbench.runners.base import Failure


def records(results: Path) -> dict[str, dict[str, Any]]:
    paths = [path for path in results.glob("*/*/*/*.json") if not path.name.endswith(".cost.json")]
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def metric(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in record["metrics"] if item["name"] == name and item["group"] == "all")


def test_the_number_of_workers_and_a_repetition_change_no_byte(cli: Cli, corpus: Path, task: Path) -> None:
    arguments = (
        "run",
        "--codec",
        f"{codec('Random')},{codec('Good')}",
        "--task",
        task,
        "--corpus",
        f"folder:{corpus}",
    )
    outcomes = []
    for results, jobs in (("one", 1), ("two", 2), ("again", 2)):
        done = cli(*arguments, "--results", results, "--jobs", jobs)
        assert done.returncode == 0, done.stderr
        outcomes.append(stable_bytes(corpus.parent / results))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert any(name.endswith(".flac") for name in outcomes[0])


def test_what_is_done_is_not_done_again_unless_forced(cli: Cli, corpus: Path, task: Path, tmp_path: Path) -> None:
    arguments = ("run", "--codec", codec("Counting"), "--task", task, "--corpus", f"folder:{corpus}")
    marks = {"TOKBENCH_TEST_MARKS": str(tmp_path / "marks"), "TOKBENCH_CACHE_BYTES": "1"}
    cli(*arguments, **marks)
    assert len((tmp_path / "marks").read_text()) == 12
    again = cli(*arguments, **marks)
    assert "already done" in again.stderr
    assert len((tmp_path / "marks").read_text()) == 12
    cli(*arguments, "--force", **marks)
    assert len((tmp_path / "marks").read_text()) == 24


def test_learning_is_part_of_the_cost(cli: Cli, tmp_path: Path, rng: np.random.Generator) -> None:
    rows = ["path,split,speaker"]
    for level, (split, speaker) in enumerate((("train", "a"), ("train", "b"), ("test", "c"), ("test", "d")), 1):
        for number in range(3):
            samples = 0.1 * np.sin(np.arange(48000) * 0.1 * level) + 0.02 * rng.standard_normal(48000)
            soundfile.write(tmp_path / f"{speaker}{number}.wav", samples, 16000)
            rows.append(f"{speaker}{number}.wav,{split},{speaker}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    asked = ("--codec", "spectrogram-kmeans:8x256", "--task", "speaker-tokens")
    costs = []
    for results in ("first", "again"):
        done = cli("run", *asked, "--corpus", "manifest:manifest.csv?split=test", "--results", results)
        assert done.returncode == 0, done.stderr
        (cost,) = (tmp_path / results).glob("*/*/*/*.cost.json")
        costs.append(Cost.model_validate_json(cost.read_text()))
    first, again = costs
    assert 0 < again.learning_s < first.learning_s < first.wall_s


def test_a_second_task_encodes_nothing(cli: Cli, corpus: Path, task: Path, tmp_path: Path) -> None:
    marks = {"TOKBENCH_TEST_MARKS": str(tmp_path / "marks")}
    done = cli(
        "run", "--codec", codec("Counting"), "--task", f"{task},tokens", "--corpus", f"folder:{corpus}", **marks
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "marks").read_text()) == 12


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raises", "ValueError: the tables are wrong (user_codecs.py:"),
        ("Exits", "SystemExit: 3 (user_codecs.py:"),
        ("Hangs", "no result after 20 s (see --timeout)"),
        ("Dies", "the worker process died (exit code 7)"),
        ("LosesTheGpu", "the GPU reported an error that ended the worker process"),
        ("IsTold", "the worker process was told to end"),
        ("WrongShape", "good advertises codes int64 [1, F] but returned int64 [3, 16001]"),
        ("OutOfRange", "good returned codes from "),
        ("NotANumber", "the output of good has 16001 NaN or infinite values in 16001 samples"),
    ],
)
def test_a_broken_utterance_costs_its_own_cell_only(
    cli: Cli, corpus: Path, task: Path, name: str, reason: str
) -> None:
    codecs = f"{codec(name)},mulaw"
    arguments = ("--task", task, "--corpus", f"folder:{corpus}", "--timeout", 20)
    done = cli("run", "--codec", codecs, *arguments)
    assert done.returncode == 1, done.stderr
    found = records(corpus.parent / "results")
    broken = metric(found["good"], "stoi")
    assert found["good"]["status"] == "failed"
    assert found["good"]["reason"].startswith(reason)
    assert (broken["value"], broken["num_ok"], broken["num_total"]) == (None, 11, 12)
    assert next(iter(broken["reasons"])).startswith(reason)
    assert found["mulaw"]["status"] == "ok"
    (table,) = corpus.parent.glob("results/*/*/good/*.parquet")
    rows = pd.read_parquet(table)
    assert rows["error"].notna().sum() == 1
    assert rows.loc[rows["error"].notna(), "utterance"].item() == "utterance 04.wav"
    assert rows["stoi.total"].isna().sum() == 1


def test_a_codec_that_cannot_be_loaded_is_recorded_with_the_reason(cli: Cli, corpus: Path, task: Path) -> None:
    done = cli("run", "--codec", f"{codec('CannotLoad')},mulaw", "--task", task, "--corpus", f"folder:{corpus}")
    assert done.returncode == 1
    found = records(corpus.parent / "results")
    assert found["good"]["status"] == "failed"
    assert found["good"]["reason"].startswith("RuntimeError: no licence file (user_codecs.py:")
    assert metric(found["good"], "stoi")["num_ok"] == 0
    assert found["mulaw"]["status"] == "ok"


def test_a_codec_that_no_longer_loads_does_not_destroy_what_was_measured(
    cli: Cli, corpus: Path, task: Path
) -> None:
    arguments = ("--task", task, "--corpus", f"folder:{corpus}", "--limit", 2)
    assert cli("run", "--codec", codec("Good"), *arguments).returncode == 0
    before = stable_bytes(corpus.parent / "results")
    done = cli("run", "--codec", codec("CannotLoad"), *arguments)  # the same name: good
    assert done.returncode == 1
    assert "no licence file" in done.stderr
    assert stable_bytes(corpus.parent / "results") == before


def test_a_tokenizer_without_decoder_is_skipped_where_decoding_is_the_question(
    cli: Cli, corpus: Path, task: Path
) -> None:
    done = cli("run", "--codec", codec("OnlyEncodes"), "--task", f"{task},tokens", "--corpus", f"folder:{corpus}")
    assert done.returncode == 1
    reconstruction = next((corpus.parent / "results" / "quick.v1").rglob("*.json"))
    tokens = next((corpus.parent / "results" / "tokens.v1").rglob("default.json"))
    assert json.loads(reconstruction.read_text())["status"] == "skipped"
    assert json.loads(reconstruction.read_text())["reason"] == "signs only encodes"
    assert json.loads(tokens.read_text())["status"] == "ok"


def test_a_codec_that_claims_nothing_is_skipped_where_a_claim_is_the_question(cli: Cli, corpus: Path) -> None:
    done = cli("run", "--codec", codec("Good"), "--task", "streaming", "--corpus", f"folder:{corpus}")
    assert done.returncode == 1
    record = json.loads(next((corpus.parent / "results").rglob("default.json")).read_text())
    assert (record["status"], metric(record, "streaming_agreement")["value"]) == ("skipped", None)
    assert record["reason"] == "good does not claim to be causal: its codes may depend on all of the audio"


def test_a_corpus_without_alignments_is_skipped_where_they_are_asked_for(cli: Cli, corpus: Path) -> None:
    done = cli("run", "--codec", codec("Good"), "--corpus", f"folder:{corpus}", "--task", "abx")
    assert done.returncode == 1
    assert "has no alignments: abx.v1 asks for intervals of the tier phone" in " ".join(done.stderr.split())


def test_a_broken_file_costs_its_own_row_and_is_named(cli: Cli, corpus: Path, task: Path) -> None:
    (corpus / "utterance 07.wav").write_text("not audio")
    done = cli("run", "--codec", codec("Good"), "--task", task, "--corpus", f"folder:{corpus}")
    assert done.returncode == 1
    assert "utterance 07.wav: not readable as audio" in done.stderr
    stoi = metric(records(corpus.parent / "results")["good"], "stoi")
    assert (stoi["value"], stoi["num_ok"], stoi["num_total"]) == (None, 11, 12)


def test_a_limit_takes_the_beginning_of_the_corpus(cli: Cli, corpus: Path, task: Path) -> None:
    done = cli("run", "--codec", codec("Good"), "--task", task, "--corpus", f"folder:{corpus}", "--limit", 3)
    assert done.returncode == 0, done.stderr
    record = records(corpus.parent / "results")["good"]
    assert record["corpus"]["num_utterances"] == 3
    assert metric(record, "stoi")["num_total"] == 3


def test_a_part_of_a_corpus_is_another_corpus(cli: Cli, corpus: Path, task: Path) -> None:
    arguments = ("run", "--codec", codec("Good"), "--task", task, "--corpus", f"folder:{corpus}")
    for limit in ((), ("--limit", 3), ("--limit", 99)):
        assert cli(*arguments, *limit).returncode == 0
    found = [json.loads(path.read_text()) for path in (corpus.parent / "results").glob("*/*/good/default.json")]
    names = {record["corpus"]["name"]: record["corpus"]["num_utterances"] for record in found}
    assert names == {"corpus.first-3": 3, "corpus": 12}
    assert {record["provenance"]["limit"] for record in found} == {None, 3}


def test_a_run_in_which_everything_failed_does_not_destroy_what_was_measured(
    cli: Cli, corpus: Path, task: Path
) -> None:
    arguments = ("--task", task, "--corpus", f"folder:{corpus}")
    assert cli("run", "--codec", codec("Good"), *arguments).returncode == 0
    before = stable_bytes(corpus.parent / "results")
    assert cli("run", "--codec", codec("Hopeless"), *arguments).returncode == 1  # the same name: good
    assert stable_bytes(corpus.parent / "results") == before
    assert not list((corpus.parent / "results").rglob("*.journal*"))
    cli("run", "--codec", codec("Hopeless"), *arguments, "--force")
    assert records(corpus.parent / "results")["good"]["status"] == "failed"
    assert any(name.endswith(".flac") for name in before)
    assert not list((corpus.parent / "results").rglob("default.examples/*"))  # nothing comes out of this one


def test_two_codecs_of_one_name_are_refused(cli: Cli, corpus: Path, task: Path) -> None:
    both = f"{codec('Good')},{codec('Hopeless')}"
    done = cli("run", "--codec", both, "--task", task, "--corpus", f"folder:{corpus}")
    assert done.returncode == 2
    assert "are both called good:default, and would share a record" in " ".join(done.stderr.split())
    assert cli("run", "--codec", f"{codec('Good')},{codec('Good')}", "--task", task).returncode == 0


def test_another_corpus_of_the_same_name_does_not_replace_a_record(cli: Cli, corpus: Path, task: Path) -> None:
    one, two = sorted(corpus.glob("*.wav"))[:2]
    manifest = corpus.parent / "said.csv"
    manifest.write_text(f"path,from,to\n{one},de,en\n{two},en,de\n", encoding="utf-8")
    arguments = ("run", "--codec", codec("Good"), "--task", task, "--corpus")
    assert cli(*arguments, f"manifest:{manifest}?from=de").returncode == 0
    before = stable_bytes(corpus.parent / "results")
    done = cli(*arguments, f"manifest:{manifest}?to=de")
    assert done.returncode == 2
    assert "another one of its name: run it with other --results" in " ".join(done.stderr.split())
    manifest.write_text(f"path,from,to\n{two},de,en\n", encoding="utf-8")
    done = cli(*arguments, f"manifest:{manifest}?from=de")
    assert done.returncode == 2
    assert "or of what that was before it changed: run it with other --results" in " ".join(done.stderr.split())
    assert stable_bytes(corpus.parent / "results") == before


def test_other_audio_of_the_same_names_and_sizes_is_not_taken_for_what_was_measured(
    cli: Cli, corpus: Path, task: Path, rng: np.random.Generator
) -> None:
    folders = [corpus.parent / name / "test" for name in ("clean", "noisy")]
    for folder in folders:
        shutil.copytree(corpus, folder)
    last = folders[1] / "utterance 11.wav"
    samples, rate_hz = soundfile.read(last)
    soundfile.write(last, samples + 0.01 * rng.standard_normal(len(samples)), rate_hz)
    arguments = ("run", "--task", task, "--jobs", 1, "--codec")
    assert cli(*arguments, codec("Good"), "--corpus", f"folder:{folders[0]}").returncode == 0
    before = stable_bytes(corpus.parent / "results")
    for name in (codec("Good"), "mulaw:8bit"):  # measured already, and new beside it
        done = cli(*arguments, name, "--corpus", f"folder:{folders[1]}")
        assert done.returncode == 2
        said = " ".join(done.stderr.split())
        assert "results/quick.v1/test/good/default.json is of other audio of the same name" in said
        assert "utterance 11.wav of folder:test is not the recording that it was" in said
        assert "another --results folder, or measure all codecs again with --force" in said
    assert stable_bytes(corpus.parent / "results") == before
    assert cli(*arguments, codec("Good"), "--corpus", f"folder:{folders[1]}", "--force").returncode == 0
    assert stable_bytes(corpus.parent / "results") != before


def test_a_record_that_cannot_be_read_is_replaced_by_force_alone(cli: Cli, corpus: Path, task: Path) -> None:
    arguments = ("run", "--codec", codec("Good"), "--task", task, "--corpus", f"folder:{corpus}", "--limit", 1)
    assert cli(*arguments).returncode == 0
    before = stable_bytes(corpus.parent / "results")
    for ending in ("parquet", "json"):
        path = next((corpus.parent / "results").rglob(f"default.{ending}"))
        path.write_bytes(path.read_bytes()[:100])
        done = cli(*arguments)
        assert done.returncode == 2
        assert f"default.{ending}: not a t" in " ".join(done.stderr.split())
        assert path.stat().st_size == 100
    assert cli(*arguments, "--force").returncode == 0
    assert stable_bytes(corpus.parent / "results") == before


def test_a_codec_with_the_name_of_a_shipped_one_does_not_replace_its_record(cli: Cli, corpus: Path) -> None:
    arguments = ("--task", "tokens", "--corpus", f"folder:{corpus}", "--limit", 1)
    assert cli("run", "--codec", "mulaw:8bit", *arguments).returncode == 0
    before = stable_bytes(corpus.parent / "results")
    done = cli("run", "--codec", codec("OtherMulaw"), *arguments)
    assert done.returncode == 2
    assert "is of the mulaw:8bit that comes with tokbench" in " ".join(done.stderr.split())
    assert stable_bytes(corpus.parent / "results") == before
    assert cli("run", "--codec", codec("OtherMulaw"), *arguments, "--results", "other").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--codec", "opsu", "--task", "tokens"), "no codec named 'opsu'. Did you mean 'opus'?"),
        (("--codec", "opus:13kbps", "--task", "tokens"), "no setting of opus named '13kbps'"),
        (("--codec", "opus", "--task", "token"), "no task named 'token'. Did you mean 'tokens.v1'?"),
        (("--codec", "opus", "--task", "tokens", "--corpus", "sinth"), "Did you mean 'synth'?"),
        (("--codec", "gone.py:Mine", "--task", "tokens"), "gone.py: no such file"),
        (("--codec", "gone.py", "--task", "tokens"), "name the class as well, such as gone.py:MyCodec"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(
    cli: Cli, arguments: tuple[str, ...], sentence: str
) -> None:
    done = cli("run", *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_results_that_cannot_be_written_are_said_at_once(cli: Cli, corpus: Path, task: Path) -> None:
    (corpus.parent / "taken").write_text("a file, not a folder")
    done = cli(
        "run", "--codec", "mulaw", "--task", task, "--corpus", f"folder:{corpus}", "--results", "taken/results"
    )
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "--results DIR" in " ".join(done.stderr.split())


def test_the_plan_is_shown_without_running(cli: Cli, corpus: Path, task: Path) -> None:
    done = cli("run", "--codec", "mulaw:all", "--task", task, "--corpus", f"folder:{corpus}", "--plan")
    assert done.returncode == 0
    assert done.stdout.count("quick.v1") >= 3
    assert not list((corpus.parent / "results").rglob("*.json"))


def test_the_plan_tells_what_will_not_run_as_far_as_it_is_known(cli: Cli, corpus: Path, task: Path) -> None:
    codecs = "mulaw,mimi,hubert-base-units,hubert-base-features"
    done = cli("run", "--codec", codecs, "--task", task, "--corpus", f"folder:{corpus}", "--plan")
    assert done.returncode == 0, done.stderr
    mulaw, mimi, units, features = (line.split("\t")[4] for line in done.stdout.splitlines()[1:])
    assert mulaw == ""
    assert mimi.startswith("no weights for mimi. Download ")
    assert units == "hubert-base-units only encodes"
    assert features == "hubert-base-features has no codes"


def test_the_process_that_hands_out_work_needs_no_torch(corpus: Path, task: Path, tmp_path: Path) -> None:
    script = f"""
import sys
from typer.testing import CliRunner
from tokbench.cli.main import app
arguments = ["run", "--codec", "mulaw", "--task", {str(task)!r}, "--corpus", "folder:{corpus}", "--limit", "2"]
result = CliRunner().invoke(app, [*arguments, "--results", {str(tmp_path / "r")!r}])
assert result.exit_code == 0, result.output
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Lost:
    """An executor that loses the worker of whatever has a bad utterance, and notes what it was given."""

    num_workers, max_pending = 1, 2

    def __init__(self) -> None:
        self.given: list[tuple[list[str], dict[int, bool], float]] = []

    def submit(
        self,
        _: object,
        spec: object,
        utterances: list[SimpleNamespace],
        wanted: dict[int, bool],
        *,
        timeout_s: float,
    ) -> "Future[Any]":
        del spec
        names = [utterance.id for utterance in utterances]
        self.given.append((names, wanted, timeout_s))
        future: Future[Any] = Future()
        if "bad" in names:
            future.set_exception(WorkerDiedError())
        else:
            future.set_result([names[place] for place in wanted])
        return future


def test_utterances_go_to_a_worker_together_whichever_are_done_and_a_lost_one_costs_itself_only() -> None:
    names = ["a", "b", "c", "d", "bad", "e", "f"]
    jobs = [(position, SimpleNamespace(id=name)) for position, name in enumerate(names)]
    cell = SimpleNamespace(spec=None, options=SimpleNamespace(num_examples=1), num_utterances=7)
    executor = Lost()
    groups = engine._groups(jobs, 3, {0, 1, 2, 5})  # type: ignore[arg-type]
    found = {job[1].id: result for job, result in engine._measured(cell, groups, executor, timeout_s=10.0)}  # type: ignore[arg-type]
    assert found == {"d": "d", "bad": Failure("the worker process died"), "f": "f"}
    assert executor.given[0] == (["d", "bad", "e"], {0: False, 1: False}, 30.0)
    assert sorted(executor.given[1:], key=str) == [
        (["bad"], {0: False}, 10.0),
        (["d"], {0: False}, 10.0),
        (["f"], {0: False}, 10.0),
    ]
