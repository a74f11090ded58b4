"""Tables and progress on a terminal; plain text where the output is not one."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["harmless", "print_json", "print_table", "stderr", "stdout"]

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_FOLDED = 16
"""Characters in which a sentence is still readable."""


def stdout() -> "Console":
    """Return a console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def stderr() -> "Console":
    """Return a console for progress and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def harmless(cell: str, *, is_line: bool = False) -> str:
    r"""Return ``cell`` without control characters, and as one line if it has to be.

    >>> harmless("a\x1b]0;b\nc", is_line=True)
    'a�]0;b c'
    """
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", cell.replace("\n", " ") if is_line else cell)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(
    rows: Iterable[Sequence[str]],
    *,
    columns: Sequence[str],
    title: str | None = None,
    names: Sequence[str] = (),
    numeric: Sequence[str] = (),
    optional: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print rows of cells under ``columns``; ``numeric`` columns are aligned to the right.

    Numbers and ``names``, by default the first column, are not broken; what else there is folds. Where the terminal
    is too narrow for that, ``optional`` columns are left out, the first of them first, and named below the table.
    Into a pipe the cells are separated by tabs, without colours or frames, each row as soon as it is there.
    Control characters, which what a model wrote or an utterance is called may hold, are shown as such, and do
    nothing.
    """
    if not sys.stdout.isatty():
        _print_to_pipe(rows, columns)
        return
    rows = [[harmless(cell, is_line=False) for cell in cells] for cells in rows]
    console = stdout()
    names = names or columns[:1]
    # A number is never broken; its heading may be, at its first space.
    headings = [name.replace(" ", "\n", 1) if name in numeric else name for name in columns]
    widths = _needed_widths([headings, *rows], [name in (*names, *numeric) for name in columns])
    shown = _fitting(dict(enumerate(widths)), [columns.index(name) for name in optional], console.width)
    has_room = _total(widths[place] for place in shown) <= console.width
    _print(
        console,
        [[cells[place] for place in shown] for cells in rows],
        title,
        [
            {
                "header": headings[place],
                "style": (styles or {}).get(columns[place]),
                "justify": "right" if columns[place] in numeric else "left",
                "no_wrap": columns[place] in numeric or (has_room and columns[place] in names),
                "overflow": "fold",
            }
            for place in shown
        ],
    )
    if left_out := [name for place, name in enumerate(columns) if place not in shown]:
        console.print(f"No room for: {', '.join(left_out)}. A wider window, or a pipe, shows it all.", markup=False)


def _print_to_pipe(rows: Iterable[Sequence[str]], columns: Sequence[str]) -> None:
    """Write each row as soon as there is one, and nothing where there is an error instead of the first."""
    left = iter(rows)
    first = list(islice(left, 1))
    for cells in chain([columns], first, left):
        sys.stdout.write("\t".join(harmless(cell, is_line=True) for cell in cells) + "\n")
        sys.stdout.flush()


def _print(
    console: "Console", rows: Sequence[Sequence[str]], title: str | None, columns: Sequence[Mapping[str, Any]]
) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(**column)
    for cells in rows:
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)


def _needed_widths(rows: Sequence[Sequence[str]], are_whole: Sequence[bool]) -> list[int]:
    """Return the characters that each column of ``rows`` needs at least, one that may fold a few words."""
    from rich.cells import cell_len

    longest = [
        max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
        for cells in zip(*rows, strict=True)
    ]
    return [width if is_whole else min(width, _FOLDED) for width, is_whole in zip(longest, are_whole, strict=True)]


def _fitting(widths: Mapping[int, int], optional: Sequence[int], room: int) -> list[int]:
    """Return the columns to show in ``room`` characters, of columns that need ``widths``."""
    shown = list(widths)
    for place in optional:
        if _total(widths[each] for each in shown) <= room:
            break
        shown.remove(place)
    return shown


def _total(widths: Iterable[int]) -> int:
    """Return the width of a table: two blanks at its edges, three between columns."""
    return sum(width + 3 for width in widths) - 1
