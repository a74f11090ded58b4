"""Studies: what is declared is what is trained, and each row of the ablations differs in what it says."""

from pathlib import Path
from typing import Any

import pytest

from tokbench.errors import SpecError, UnknownNameError
from tokbench.specs.codec import list_specs
from tokbench.specs.scales import SCALES
from tokbench.specs.study import Study, Trial, find_study, list_studies, waves
from tokbench.specs.task import find_task

DIFFERENCES = {
    "encodec-base": set(),
    "encodec-ms-stftd": {"discriminators", "training.adversarial_from"},
    "encodec-mpd": {"discriminators", "training.adversarial_from"},
    "encodec-mpd-mrd": {"discriminators", "training.adversarial_from"},
    "encodec-msd-mpd-ms-stftd": {"discriminators", "training.adversarial_from"},
    "encodec-sem": {"distillation.semantic"},
    "encodec-snake": {"encoder.activation", "decoder.activation", "level"},
    "encodec-mrg": {"quantizer.num_groups", "quantizer.dropout_choices"},
    "encodec-noisy": {"augmentation.noise"},
    "encodec-lm": {"entropy_coding"},
    "encodec-no-km": {"quantizer.kmeans_init"},
    "encodec-around-sum": {"quantizer.straight_through"},
    "encodec-around-each": {"quantizer.straight_through"},
    "encodec-gradient-codes": {"quantizer.learning"},
    "encodec-fsq": {"quantizer"},
    "encodec-no-dropout": {"quantizer.dropout"},
    "encodec-balancer": {"losses.balancer", "losses.reconstruction"},
}
SURVEY = {
    "A": ["msd", "mpd", "ms-stftd"],
    "C": ["mpd"],
    "D": ["mpd", "mrd"],
    "E": ["ms-stftd"],
}
"""Discriminators in table 2 of arXiv:2402.13236 by its rows; B and F have those of A."""
TRIALS = [
    pytest.param(study, trial, id=f"{study.name} {trial.name}")
    for study in list_studies().values()
    for trial in study.all_trials
    if trial.seed == 0
]


def declared(trial: Trial, scale: str) -> dict[str, Any]:
    return trial.resolved(scale).model_dump(mode="json", exclude={"scales"})


def differing(first: Any, second: Any, key: str = "") -> set[str]:
    """Return the keys in which two specs differ; a quantizer of another kind is one difference."""
    if first == second:
        return set()
    tables = isinstance(first, dict) and isinstance(second, dict)
    if not tables or first.get("kind") != second.get("kind"):
        return {key}
    return set().union(
        *(
            differing(first.get(name), second.get(name), f"{key}.{name}".strip("."))
            for name in first.keys() | second.keys()
        )
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("study", "trial"), TRIALS)
def test_every_run_resolves(study: Study, trial: Trial, scale: str) -> None:
    if scale == study.scale or study.name == "designs":
        assert trial.resolved(scale).name
    assert trial.tasks == tuple(find_task(name)[0].name for name in trial.tasks)


def test_each_ablation_differs_from_the_base_in_what_it_says() -> None:
    study = find_study("ablations")
    base = declared(study.trials(study.find_run(study.reference))[0], study.scale)
    found = {run.name: differing(base, declared(study.trials(run)[0], study.scale)) for run in study.runs}
    assert found == DIFFERENCES


def test_the_sets_of_discriminators_are_those_of_the_survey() -> None:
    study = find_study("ablations")
    runs = [run for run in study.runs if run.part == "Discriminators"]
    kinds = [[item["kind"] for item in declared(study.trials(run)[0], "tiny")["discriminators"]] for run in runs]
    assert sorted(kinds) == sorted(SURVEY.values())


def test_seeds_make_names() -> None:
    study = find_study("ablations")
    assert study.num_seeds >= 3
    trials = study.trials(study.find_run("encodec-snake"))
    assert [(trial.name, trial.seed) for trial in trials] == [(f"encodec-snake-s{n + 1}", n) for n in range(3)]
    assert [trial.run.name for trial in study.all_trials][: len(study.runs)] == [run.name for run in study.runs]


def test_the_designs_train_every_spec_that_is_not_a_published_model_s() -> None:
    """What is left out needs weights from elsewhere, or is shipped already."""
    trained = {trial.spec for trial in find_study("designs").all_trials}
    left_out = {name for name in list_specs() if name not in trained}
    official = ("hubert-base", "mhubert", "w2v-bert-2", "wav2vec2", "wavlm", "xls-r")
    assert {name for name in left_out if not name.startswith(official)} == {"spectrogram-kmeans"}


def test_teachers_are_trained_before_their_pupils() -> None:
    study = find_study("designs")
    place = {trial.name: number for number, wave in enumerate(waves(study.all_trials)) for trial in wave}
    assert len(place) == len(study.runs)
    for trial in study.all_trials:
        wanted = str(declared(trial, "tiny"))
        teachers = {name for name in place if f"'{name}'" in wanted or f"'{name}:" in wanted} - {trial.name}
        assert all(place[name] < place[trial.name] for name in teachers | set(trial.needs)), trial.name


def test_a_choice_of_trials_waits_for_no_other() -> None:
    study = find_study("designs")
    (trial,) = study.trials(study.find_run("mimi-tiny"))
    assert waves([trial]) == [[trial]]
    assert waves([]) == []


STUDY = """
name = "mine"
title = "Mine"
question = "Which?"
corpora = ["synth"]
scored_on = "synth"
tasks = ["tokens"]
reference = "a"
[[runs]]
name = "a"
spec = "encodec"
title = "A"
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('reference = "a"', 'reference = "b"', r"reference 'b' is not among the runs \(a\)"),
        ('spec = "encodec"\n', "", "run 'a' has no spec, and neither has the study"),
        ('title = "A"', 'title = "A"\nneeds = ["b"]', "run 'a' needs 'b', which is no run above it"),
        ('title = "A"', 'title = "A"\nchanges = ["x"]', "run 'a': --set x: expected key=value"),
        ('title = "A"', 'title = "A"\n[[runs]]\nname = "a"\nspec = "dac"\ntitle = "B"', "run 'a' is there twice"),
        ('name = "mine"', 'name = "yours"', "name: expected 'mine', found 'yours'"),
    ],
)
def test_problems_are_told(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        find_study(written(tmp_path, STUDY.replace(old, new, 1)))


def test_an_unknown_study_or_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no study named 'desings'\. Did you mean 'designs'"):
        find_study("desings")
    with pytest.raises(UnknownNameError, match="no run of mine named 'b'"):
        find_study(written(tmp_path, STUDY)).find_run("b")
