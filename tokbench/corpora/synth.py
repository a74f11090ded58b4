"""The corpus ``synth``: speech by espeak-ng at its own 22,050 Hz, made once, reproducible bit for bit."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tokbench.corpora.generated import Clip, Recipe, Row
from tokbench.corpora.manifest import ManifestCorpus
from tokbench.corpora.reference import CorpusReference, Filters
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import SyntheticUtterance, list_utterances
from tokbench.errors import CorpusError

__all__ = ["NAME", "build_synth", "open_synth"]

NAME = "synth.v1"
"""The version changes with anything that changes a sample: texts, speakers, noise floor."""


def open_synth(reference: CorpusReference) -> ManifestCorpus:
    """Open ``synth`` (the test split), ``synth?split=train``, ``synth?split=demo``, ``synth?language=cmn|yue``.

    It is made in a few seconds if it is not there. ``split=demo`` is a part of the test split, of about a minute.
    """
    return _RECIPE.open(reference, _filters(reference.filters))


def _filters(asked: Filters) -> Filters:
    split = asked.get("split", ("test",))
    others = {column: values for column, values in asked.items() if column != "split"}
    if split == ("demo",):
        return {"demo": ("yes",), **others}
    if "demo" in split:
        msg = "synth: split=demo is a part of split=test already; ask for one of them"
        raise CorpusError(msg)
    return {"split": split, **others}


def build_synth(folder: Path, utterances: Sequence[SyntheticUtterance] | None = None) -> None:
    """Make the corpus in ``folder``, or the ``utterances`` of it; see :meth:`Recipe.build`."""
    _RECIPE.build(folder, None if utterances is None else [_row(utterance) for utterance in utterances])


def _row(utterance: SyntheticUtterance) -> Row:
    make = partial(spoken, utterance.text, utterance.voice, utterance.language, seed=utterance.id)
    return Row(
        id=utterance.id,
        clip=Clip(f"{utterance.split}/{utterance.id}", make),
        columns={
            "split": utterance.split,
            "demo": "yes" if utterance.is_demo else "no",
            "kind": utterance.kind,
            "speaker": utterance.speaker.name,
            "gender": utterance.speaker.gender,
            "language": utterance.language,
            "text": utterance.text,
        },
    )


_RECIPE = Recipe(
    name=NAME,
    labels=("demo", "kind", "speaker", "gender", "language", "text"),
    rows=lambda: [_row(utterance) for utterance in list_utterances()],
)
