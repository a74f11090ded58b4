"""Building: leaderboards become files, or are compared with the files that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokbench.errors import UsageError
from tokbench.leaderboard.cells import results_option
from tokbench.leaderboard.known import check_known
from tokbench.leaderboard.page import render
from tokbench.leaderboard.spec import Leaderboard, find_leaderboard, list_leaderboards
from tokbench.leaderboard.table import Table, csv_bytes, read_tables
from tokbench.paths import write_bytes

__all__ = ["BuildResult", "NothingToShowError", "OutputError", "build", "files_of", "first_difference"]


class NothingToShowError(UsageError):
    """A leaderboard that was asked for, and none of whose tasks was run; or no record at all."""

    def __init__(self, results: Path, board: Leaderboard | None = None) -> None:
        what = f"the leaderboard {board.name!r}" if board else "any leaderboard"
        tasks = ",".join(board.tasks) if board else "TASK"
        super().__init__(
            f"no records for {what} below {results}. Make them with: tokbench run --codec NAME --task {tasks}"
            f"{results_option(results)}"
        )


class OutputError(UsageError):
    """An output folder that refuses a write."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"cannot write {path}: {error.strerror or error}. Choose another folder with --out DIR.")


@dataclass(frozen=True)
class BuildResult:
    """What became of one file."""

    path: Path
    status: Literal["written", "unchanged", "differs", "skipped"]
    """``differs`` only when checking; ``skipped`` for a leaderboard without records."""
    detail: str = ""
    """Where a file differs, or why it was skipped."""


def build(names: Sequence[str], *, results: Path, out: Path, check: bool = False) -> list[BuildResult]:
    """Build the leaderboards called ``names``, all of them if there are none, from the records below ``results``.

    With ``check`` nothing is written: each file below ``out`` is compared byte for byte with what would be. Raises
    :class:`NothingToShowError` for a leaderboard that was named and has no records, and where none has any;
    otherwise it is skipped. Raises :class:`SpecError` for one with a task or metric that is not known.
    """
    boards = [find_leaderboard(name) for name in names or list_leaderboards()]
    for board in boards:
        check_known(board, results)
    found = [(board, read_tables(board, results)) for board in boards]
    empty = [board for board, tables in found if not tables]
    if empty and (names or len(empty) == len(boards)):
        raise NothingToShowError(results, empty[0] if names else None)
    pages = _pages([board for board, tables in found if tables], out)
    done: list[BuildResult] = []
    for board, tables in found:
        done += _built(files_of(board, tables, pages), board, out, check=check)
    return done


def _pages(built: Sequence[Leaderboard], out: Path) -> Mapping[str, str]:
    """Return the titles of the pages that will be in ``out``, by name: those ``built`` and those there."""
    titles = {board.name: board.title for board in built}
    for name in list_leaderboards():
        if name not in titles and (out / f"{name}.html").is_file():
            titles[name] = find_leaderboard(name).title
    return dict(sorted(titles.items()))


def _built(files: Mapping[str, bytes], board: Leaderboard, out: Path, *, check: bool) -> list[BuildResult]:
    if not files:
        page = out / f"{board.name}.html"
        is_left = check and page.is_file()
        return [BuildResult(page, "differs" if is_left else "skipped", "none of its tasks was run")]
    stale = _stale(board, out, files)
    done = [
        _checked(out / name, content) if check else _written(out / name, content) for name, content in files.items()
    ]
    return done + [_removed(path, check=check) for path in stale]


def files_of(
    board: Leaderboard, tables: Sequence[Table], pages: Mapping[str, str] | None = None
) -> Mapping[str, bytes]:
    """Return every file of ``board`` by its name below the output folder; none where there are no tables.

    ``pages`` holds the titles of the pages that its page links to, by name.
    """
    if not tables:
        return {}
    page = render(board, tables, pages)
    return {
        f"{board.name}.csv": csv_bytes([table.wide() for table in tables]),
        f"{board.name}.long.csv": csv_bytes([table.long() for table in tables]),
        f"{board.name}.html": page.html,
        **{f"{board.name}.audio/{media.name}": media.path.read_bytes() for media in page.media},
    }


def _stale(board: Leaderboard, out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Return the sounds of an earlier build that the page no longer plays."""
    present = sorted((out / f"{board.name}.audio").glob("*"))
    return [path for path in present if path.relative_to(out).as_posix() not in files]


def _removed(path: Path, *, check: bool) -> BuildResult:
    if check:
        return BuildResult(path, "differs", "no page uses it")
    path.unlink()
    return BuildResult(path, "written", "removed: no page uses it")


def _written(path: Path, content: bytes) -> BuildResult:
    if path.is_file() and path.read_bytes() == content:
        return BuildResult(path, "unchanged")
    try:
        write_bytes(path, content)
    except OSError as error:
        raise OutputError(path, error) from error
    return BuildResult(path, "written")


def _checked(path: Path, content: bytes) -> BuildResult:
    if not path.is_file():
        return BuildResult(path, "differs", "not there")
    difference = first_difference(path.read_bytes(), content)
    return BuildResult(path, "differs", difference) if difference else BuildResult(path, "unchanged")


def first_difference(found: bytes, expected: bytes) -> str:
    r"""Return where two files differ first, and what stands there; empty if they are equal.

    >>> first_difference(b"opus,3.1\nmulaw,4.0\n", b"opus,3.1\nmulaw,4.5\n")
    "line 2, byte 9: found 'mulaw,4.0', expected 'mulaw,4.5'"
    """
    if found == expected:
        return ""
    pairs = enumerate(zip(found, expected, strict=False))
    offset = next((index for index, (mine, theirs) in pairs if mine != theirs), min(len(found), len(expected)))
    line = found.count(b"\n", 0, offset) + 1
    column = offset - (found.rfind(b"\n", 0, offset) + 1) + 1
    return f"line {line}, byte {column}: found {_around(found, offset)!r}, expected {_around(expected, offset)!r}"


def _around(content: bytes, offset: int) -> str:
    """Return what stands around ``offset``, within its line."""
    start = max(content.rfind(b"\n", 0, offset) + 1, offset - 30)
    end = content.find(b"\n", offset)
    return content[start : min(offset + 30, len(content) if end < 0 else end)].decode(errors="replace")
