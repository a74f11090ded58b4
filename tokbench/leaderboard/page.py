"""The page: one self-contained HTML file per leaderboard, which needs no network and no script to be read.

Names come from people and from files: the template escapes every one of them, and the page's own policy lets no
script run but the one that is hashed into it.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from tokbench.leaderboard.examples import Media, inline
from tokbench.leaderboard.glance import Glance
from tokbench.leaderboard.spec import Leaderboard
from tokbench.leaderboard.table import Table
from tokbench.leaderboard.view import TableView

__all__ = ["MAX_BYTES", "Page", "render"]

MAX_BYTES = 1_950_000
"""Size up to which sounds are put into the page itself; a committed page stays below 2 MB."""


@dataclass(frozen=True)
class Page:
    """A page, and the files that have to lie beside it."""

    html: bytes
    media: tuple[Media, ...]


def render(board: Leaderboard, tables: Sequence[Table], pages: Mapping[str, str] | None = None) -> Page:
    """Return the page of ``board``. Equal records make equal bytes.

    ``pages`` holds the titles of the pages of the same folder by the names of their leaderboards: it links to them.
    """
    views, pages = [TableView(table) for table in tables], pages or {}
    media = list(_media(views))
    folder = f"{board.name}.audio"
    bare, _ = inline(media, budget_bytes=0, folder=folder)
    size = len(_html(board, views, pages, bare))
    addresses, beside = inline(media, budget_bytes=max(MAX_BYTES - size, 0), folder=folder)
    return Page(_html(board, views, pages, addresses), tuple(beside))


def _media(views: Sequence[TableView]) -> Iterator[Media]:
    for view in views:
        for example in view.examples:
            yield from example.media


def _html(
    board: Leaderboard, views: Sequence[TableView], pages: Mapping[str, str], addresses: Mapping[str, str]
) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tokbench.leaderboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_template_text(environment, name) for name in ("page.css", "page.js"))
    page = environment.get_template("page.html.j2").render(
        board=board,
        views=views,
        glance=Glance(views) if board.table_per_group and len(views) > 1 else None,
        pages=pages,
        addresses=addresses,
        style=style,
        script=script,
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        svg=Markup,
    )
    return page.encode()


def _template_text(environment: jinja2.Environment, name: str) -> Markup:
    """Return a style or script of the package as it stands: it holds nothing that came from outside."""
    loader = environment.loader
    text = loader.get_source(environment, name)[0] if loader else ""
    return Markup(text)  # noqa: S704
