"""The corpus ``synth-events``: sounds of eight kinds with captions, and edits of them with the exact answer.

``events`` names the kinds that are heard, ``caption`` tells them in words, and ``captions`` holds five ways to tell
the same, separated by `` | ``. ``kind`` is one of

- ``single``: one event;
- ``mixture``: two of them, ``together`` or one ``after`` the other (``order``);
- ``edit``: what there is, and the companion ``target`` that it becomes when the ``instruction`` to ``add``,
  ``drop`` or ``replace`` an event (``edit``) is followed; ``target_events`` names what is heard then, and captions
  tell it.

There is more of the same in the splits ``train-large``, and ``test-large`` without single events.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from tokbench.corpora.event_sounds import EVENTS, event
from tokbench.corpora.generated import Clip, Recipe, Row, Sound, as_int16, text_hash
from tokbench.corpora.synth_recipe import Part
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE"]

_GRAMMAR = Path(__file__).parent / "grammars" / "events.toml"
RATE_HZ = 16000
_DURATION_S = 2.0
_LEVEL = 0.4
"""Peak of one event."""
_FLOOR = 1e-4
"""Deviation of the noise under everything: digital silence would have no logarithm."""
_NUM_SINGLE: dict[Part, int] = {"train": 16, "test": 4, "train-large": 64, "test-large": 0}
"""Of each kind of event."""
_NUM_OTHERS: dict[Part, int] = {"train": 288, "test": 24, "train-large": 864, "test-large": 96}
"""Mixtures, and edits."""
_ORDERS, _EDITS = ("together", "after"), ("add", "drop", "replace")


class _Grammar(StrictModel):
    names: dict[str, str]
    captions: dict[str, tuple[str, ...]]
    instructions: dict[str, tuple[str, ...]]


Place = tuple[str, float, float]
"""Kind of event, and from when to when as shares of the length."""


def _rows(*parts: Part) -> list[Row]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    rows: list[Row] = []
    for split in parts:
        rows += [
            _single(grammar, split, kind, number) for kind, number in product(EVENTS, range(_NUM_SINGLE[split]))
        ]
        rows += [make(grammar, split, number) for make in (_mixture, _edit) for number in range(_NUM_OTHERS[split])]
    return rows


def _single(grammar: _Grammar, split: Part, kind: str, number: int) -> Row:
    name = f"{split}/single-{kind.replace(' ', '-')}-{number:02d}"
    return _row("single", name, [(kind, 0.0, 1.0)], _told(grammar, name, "one", [kind]))


def _mixture(grammar: _Grammar, split: Part, number: int) -> Row:
    name = f"{split}/mixture-{number:03d}"
    first, second = _drawn_kinds(name, 2)
    order = _ORDERS[number % len(_ORDERS)]
    places = (
        [(first, 0.0, 1.0), (second, 0.0, 1.0)] if order == "together" else [(first, 0.0, 0.5), (second, 0.5, 1.0)]
    )
    return _row("mixture", name, places, {**_told(grammar, name, order, [first, second]), "order": order})


def _edit(grammar: _Grammar, split: Part, number: int) -> Row:
    name = f"{split}/edit-{number:03d}"
    stays, changes, comes = _drawn_kinds(name, 3)
    edit = _EDITS[number % len(_EDITS)]
    before = [stays] if edit == "add" else [stays, changes]
    after = {"add": [stays, changes], "drop": [stays], "replace": [stays, comes]}[edit]
    words = {"b": grammar.names[changes], "c": grammar.names[comes]}
    told = _told(grammar, name, "together" if len(after) > 1 else "one", after)
    facts = {
        **told,
        "edit": edit,
        "instruction": _one_of(grammar.instructions[edit], name).format(**words),
        "events": "|".join(before),
        "target_events": "|".join(after),
    }
    target = _clip(name, [(kind, 0.0, 1.0) for kind in after], "-target")
    return _row("edit", name, [(kind, 0.0, 1.0) for kind in before], facts, {"target": target})


def _row(
    kind: str,
    name: str,
    places: Sequence[Place],
    facts: Mapping[str, str],
    companions: Mapping[str, Clip] | None = None,
) -> Row:
    return Row(
        id=name.replace("/", "-"),
        clip=_clip(name, places),
        companions=companions or {},
        columns={"split": name.partition("/")[0], "kind": kind, **facts},
    )


def _told(grammar: _Grammar, name: str, order: str, kinds: Sequence[str]) -> dict[str, str]:
    words = dict(zip("ab", (grammar.names[kind] for kind in kinds), strict=False))
    captions = [template.format(**words) for template in grammar.captions[order]]
    return {"events": "|".join(kinds), "caption": _one_of(captions, name), "captions": " | ".join(captions)}


def _one_of(texts: Sequence[str], name: str) -> str:
    return texts[int(text_hash(f"caption {name}"), 16) % len(texts)]


def _drawn_kinds(name: str, number: int) -> list[str]:
    return sorted(EVENTS, key=lambda kind: text_hash(f"{name} {kind}"))[:number]


def _clip(name: str, places: Sequence[Place], ending: str = "") -> Clip:
    return Clip(name + ending, partial(_sound, name, tuple(places)))


def _sound(name: str, places: Sequence[Place]) -> Sound:
    """Return the events of ``places``; one of a kind sounds the same in everything of that name."""
    num_samples = round(_DURATION_S * RATE_HZ)
    mixed = _FLOOR * _generator(name, "floor").standard_normal(num_samples)
    for kind, start, end in places:
        first, last = round(start * num_samples), round(end * num_samples)
        mixed[first:last] += _LEVEL * event(kind, last - first, RATE_HZ, _generator(name, kind))
    return Sound(as_int16(mixed), RATE_HZ)


def _generator(name: str, what: str) -> np.random.Generator:
    return np.random.default_rng(int(text_hash(f"synth-events {name} {what}")[:16], 16))


RECIPE = Recipe(
    name="synth-events.v2",
    labels=(
        "kind",
        "events",
        "order",
        "caption",
        "captions",
        "edit",
        "instruction",
        "target_events",
        "target_path",
        "target_sha256",
    ),
    rows=partial(_rows, "train", "test"),
    large={
        "train-large": partial(_rows, "train-large"),
        "test-large": partial(_rows, "test-large"),
    },
)
