"""The committed records of the studies are whole: what is compared was measured alike."""

from pathlib import Path

import pandas as pd
import pytest

from tokbench.records import Record, read_records
from tokbench.specs.study import Study, Trial, list_studies
from tokbench.specs.task import find_task

RESULTS = Path(__file__).parent.parent / "results"
CORPUS = "speech-librispeech-test"
RECORDS = [record for _, record in read_records(RESULTS) if record.corpus.name == CORPUS]
STUDIES = list(list_studies().values())
TRIALS = [
    pytest.param(study, trial, id=trial.name)
    for study in STUDIES
    for trial in study.all_trials
    if any(record.codec.name == trial.name for record in RECORDS)
]


def of(trial: Trial, task: str) -> dict[str, Record]:
    """Return the records of a trained model by their settings."""
    task_id = find_task(task)[0].id
    found = (record for record in RECORDS if (record.codec.name, record.task.id) == (trial.name, task_id))
    return {record.codec.setting: record for record in found}


@pytest.mark.parametrize(("study", "trial"), TRIALS)
def test_what_is_scored_is_scored_on_every_task_in_every_setting(study: Study, trial: Trial) -> None:
    by_task = {task: of(trial, task) for task in trial.tasks}
    settings = {task: sorted(records) for task, records in by_task.items()}
    assert len(set(map(tuple, settings.values()))) == 1, (study.name, settings)
    for setting in {setting for found in by_task.values() for setting in found}:
        records = [found[setting] for found in by_task.values()]
        assert len({(record.codec.num_parameters, record.codec.fingerprint) for record in records}) == 1, setting


@pytest.mark.parametrize(("study", "trial"), TRIALS)
def test_what_is_scored_has_its_curves(study: Study, trial: Trial) -> None:
    if hasattr(trial.resolved(study.scale), "training"):
        curves = pd.read_csv(RESULTS / "curves" / f"{trial.name}.csv")
        assert curves["step"].is_monotonic_increasing
        assert curves["step"].iloc[-1] == trial.resolved(study.scale).model_dump()["training"]["num_steps"]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_models_of_a_study_learnt_from_the_same_corpora(study: Study) -> None:
    names = {trial.name for trial in study.all_trials}
    learnt_from = {frozenset(record.codec.trained_on) for record in RECORDS if record.codec.name in names}
    assert len(learnt_from) <= 1, learnt_from
