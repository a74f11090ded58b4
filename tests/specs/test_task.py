"""Tasks: found by name and version; a malformed file says what is wrong with it."""

from pathlib import Path

import pytest

from tokbench.errors import SpecError, UnknownNameError
from tokbench.specs.task import find_task, list_tasks

VALID = """
name = "mine"
version = 1
kind = "reconstruction"
question = "Is it mine?"
metrics = ["stoi"]
"""


def write(folder: Path, text: str, name: str = "mine.v1.toml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_name_means_its_newest_version() -> None:
    assert find_task("reconstruction")[0].id == "reconstruction.v1"
    assert find_task("reconstruction.v1")[0].id == "reconstruction.v1"


@pytest.mark.parametrize("task_id", list_tasks())
def test_every_shipped_task_is_valid(task_id: str) -> None:
    task, sha256 = find_task(task_id)
    assert task.id == task_id
    assert len(sha256) == 64


def test_a_typo_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"no task named 'reconstrution'\. Did you mean 'reconstruction"):
        find_task("reconstrution")


def test_a_task_may_be_a_file_of_the_users(tmp_path: Path) -> None:
    assert find_task(write(tmp_path, VALID))[0].metrics == ("stoi",)


def test_a_task_may_say_in_what_it_differs_from_another(tmp_path: Path) -> None:
    base = VALID + 'arguments = { judge = "a", deep = { one = 1, two = 2 } }'
    write(tmp_path, base)
    other = write(
        tmp_path, 'base = "mine.v1"\nname = "yours"\narguments.deep = { two = 3, three = 4 }', "yours.v1.toml"
    )
    task, sha256 = find_task(other)
    assert (task.id, task.question) == ("yours.v1", "Is it mine?")
    assert task.arguments == {"judge": "a", "deep": {"one": 1, "two": 3, "three": 4}}
    write(tmp_path, base.replace("Is it mine?", "Is it?"))
    assert find_task(other)[1] != sha256
    shipped = write(tmp_path, 'base = "tokens.v1"\nname = "ours"', "ours.v1.toml")
    assert find_task(shipped)[0].kind == "tokens"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = ", r"mine\.v1\.toml: not TOML"),
        (VALID + "colour = 1", "colour: unknown key"),
        (VALID.replace("version = 1", ""), "version: missing"),
        (VALID.replace("version = 1", "version = 'x'"), "version: .*integer.*found 'x'"),
        (VALID.replace("version = 1", "version = 0"), "version: .*greater than or equal to 1, found 0"),
        (VALID.replace('["stoi"]', "[]"), r"metrics: .*at least 1 item.*found \[\]"),
        (VALID + "reason = 'why not'", "supersedes and reason must be given together"),
        (
            VALID.replace("'mine'", "'other'").replace('"mine"', '"other"'),
            r"expected the file to be called other\.v1",
        ),
        ("\x00", "not TOML"),
        ('base = "gone.v1"\nname = "mine"', r"base: no other task named 'gone\.v1', neither beside it nor shipped"),
        ('base = "mine.v1"', r"base: no other task named 'mine\.v1'"),
    ],
)
def test_a_malformed_file_names_key_expected_and_found(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SpecError, match=sentence):
        find_task(path)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "name = 3\ncolour = 1\n")
    with pytest.raises(SpecError, match=r"(?s)name: .*question: missing.*colour: unknown key"):
        find_task(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.v1\.toml: no such file"):
        find_task(str(tmp_path / "gone.v1.toml"))
