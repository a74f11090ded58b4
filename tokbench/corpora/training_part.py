"""Which part of a corpus may be learnt from by what is to hear another part of it."""

from tokbench.corpora.base import Corpus
from tokbench.corpora.reference import LARGE_SPLITS, CorpusReference
from tokbench.corpora.registry import list_corpora
from tokbench.errors import CorpusError

__all__ = ["require_apart", "training_part"]

_SPLIT, _TRAIN = "split", "train"
_TRAIN_LARGE, _TEST_LARGE = LARGE_SPLITS
_TRAINING_SPLITS = dict.fromkeys(("librispeech", "libritts"), "train-clean-100")
"""Where training is called otherwise. That of LibriSpeech is the one that recognizers are usually compared on."""
_WHOLE_BY_DEFAULT = frozenset({"manifest"})
"""Kinds of corpora that are opened as a whole where no part is named; all others are opened at their test."""
_WITHOUT_TRAINING = frozenset({"folder", "vctk"})
"""Kinds of corpora of which no part is called training, whatever is asked for."""


def training_part(reference: str, *, large: bool = False) -> str:
    """Return the reference of the training part of the corpus of which ``reference`` names another part.

    That of ``split=test-large`` is ``split=train-large``; so is that of any other part, if it is to be ``large``,
    where the corpus has such a one.

    Raises :class:`CorpusError` where it names no part, or a training part itself, and where there is none.

    >>> training_part("synth"), training_part("manifest:a.csv?language=en&split=test")
    ('synth?split=train', 'manifest:a.csv?language=en&split=train')
    >>> training_part("synth-words", large=True), training_part("synth-singing", large=True)
    ('synth-words?split=train-large', 'synth-singing?split=train')
    """
    parsed = CorpusReference.parse(reference)
    asked = parsed.filters.get(_SPLIT)
    is_large = asked == (_TEST_LARGE,) or (large and _has_large_training(parsed.kind))
    split = _TRAINING_SPLITS.get(parsed.kind, _TRAIN_LARGE if is_large else _TRAIN)
    if parsed.kind in _WITHOUT_TRAINING:
        raise CorpusError(
            f"{reference}: there is nothing to learn from in it: {parsed.kind} has no training part. Write a "
            "manifest of it with a column split (train, test), and ask for manifest:FILE?split=test"
        )
    if asked is None and parsed.kind in _WHOLE_BY_DEFAULT:
        raise CorpusError(
            f"{reference}: ask for a part, such as split=test: another part must be left to learn from"
        )
    for learnt in (split, _TRAIN, _TRAIN_LARGE):
        if asked is not None and learnt in asked:
            raise CorpusError(f"{reference}: split={learnt} is learnt from, and cannot be measured as well")
    return parsed.with_filter(_SPLIT, split)


def _has_large_training(kind: str) -> bool:
    listing = list_corpora().get(kind)
    return listing is not None and _TRAIN_LARGE in listing.large


def require_apart(learnt: Corpus, measured: Corpus) -> None:
    """Raise :class:`CorpusError` where an utterance is in both."""
    ids = {utterance.id for utterance in learnt}
    both = next((utterance.id for utterance in measured if utterance.id in ids), None)
    if both is not None:
        raise CorpusError(f"{both} of {measured.reference} is learnt from, and cannot be measured as well")
