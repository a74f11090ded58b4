"""Tables and progress on a terminal; plain text where the output is not one."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_json", "print_table", "stderr", "stdout"]


def stdout() -> "Console":
    """Return a console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def stderr() -> "Console":
    """Return a console for progress and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def print_json(value: Any) -> None:
    """Print ``value`` as JSON, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(
    rows: Iterable[Sequence[str]],
    *,
    columns: Sequence[str],
    title: str | None = None,
    numeric: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print rows of cells under ``columns``; ``numeric`` columns are aligned to the right.

    Into a pipe the cells are separated by tabs, without colours or frames.
    """
    rows = list(rows)
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(cells) + "\n" for cells in [tuple(columns), *rows])
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in columns:
        style = (styles or {}).get(name)
        if name in numeric:  # a number is never broken; its heading may be, at its first space
            table.add_column(name.replace(" ", "\n", 1), justify="right", style=style, no_wrap=True)
        else:
            table.add_column(name, style=style, overflow="fold")
    for cells in rows:
        table.add_row(*(escape(cell) for cell in cells))
    stdout().print(table)
