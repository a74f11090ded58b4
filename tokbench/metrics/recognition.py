"""Recognition: errors between two texts, counted after both were normalized.

Normalization is Whisper's (Radford et al. 2022, appendix C): of English, numbers, spellings and contractions are
made the same; of other languages, case, punctuation and marks are dropped. Languages written without spaces are cut
into characters, so that a word of theirs is a character. Alignment and counts are those of jiwer.
"""

import dataclasses
import functools
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tokbench.errors import NotApplicableError
from tokbench.metrics.base import Score
from tokbench.stats import crossed_draws, group_sums, percentile_interval

__all__ = [
    "ErrorCounts",
    "Readings",
    "character_errors",
    "label_errors",
    "normalize",
    "spelled",
    "spelling_rules",
    "word_errors",
]

_WITHOUT_SPACES = frozenset({"zh", "cmn", "yue", "ja", "th", "lo", "my"})
"""Languages that Whisper's authors cut into characters: Chinese, Japanese, Thai, Lao, Burmese."""


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """What it takes to make the reference into the hypothesis."""

    substitutions: int
    deletions: int
    insertions: int
    length: int
    """Words, characters or labels of the reference."""

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return ErrorCounts(*(mine + theirs for mine, theirs in pairs))

    @property
    def score(self) -> Score:
        """Errors by length, which add up over utterances."""
        return Score(self.substitutions + self.deletions + self.insertions, self.length)


@dataclass(frozen=True, eq=False)
class Readings:
    """What recognizers of several seeds got wrong in the same utterances."""

    errors: np.ndarray
    """[S, N], of each seed in each utterance."""
    lengths: np.ndarray
    """[N], words, characters or labels of the references."""
    units: Sequence[str]
    """Speaker or utterance of each."""

    @property
    def parts(self) -> np.ndarray:
        """What each utterance adds to errors and lengths, float64 [N, S, 2]."""
        errors = self.errors.T.astype(np.float64)
        return np.stack([errors, np.broadcast_to(self.lengths[:, None], errors.shape)], axis=2)

    def estimate(self) -> tuple[float, tuple[float, float] | None]:
        """Return all errors by all lengths, the mean over seeds, with its 95 % interval; None for one unit.

        Units and seeds are drawn with replacement, independently of each other.
        """
        sums = group_sums(np.column_stack([self.lengths, *self.errors]).astype(np.float64), self.units)

        def values(weights: np.ndarray) -> np.ndarray:
            drawn = weights @ sums
            rates: np.ndarray = drawn[:, 1:] / drawn[:, :1]
            return rates

        draws = crossed_draws(values, num_units=len(sums), num_seeds=len(self.errors))
        value = float(values(np.ones((1, len(sums)))).mean())
        return value, None if draws is None else percentile_interval(draws)


def normalize(text: str, language: str) -> str:
    """Return ``text`` as it is compared; an empty ``language`` is taken for one with spaces.

    >>> normalize("Mr. Brown has twenty-one colours!", "en")
    'mister brown has 21 colors'
    """
    return " ".join(_normalizer(language.partition("-")[0])(text).split())


def spelled(text: str) -> str:
    """Return ``text`` without case and punctuation, in whatever language: what a recognizer of letters writes.

    Numbers and spellings stay as they are. Raises :class:`NotApplicableError` where nothing is left.

    >>> spelled("It's SEVEN -- c'est voilà!")
    'it s seven c est voilà'
    """
    return _reference(text, "")


def spelling_rules(language: str) -> str:
    """Return the language by whose rules texts are compared that are spelled out on both sides: for English none.

    Its rules make one number of several, so that of three digits, one of them heard wrongly, all would be wrong.

    >>> normalize("three one two", "en"), normalize("three one two", spelling_rules("en"))
    ('312', 'three one two')
    """
    return "" if language.partition("-")[0] == "en" else language


def word_errors(reference: str, hypothesis: str, language: str) -> ErrorCounts:
    """Count words; raises :class:`NotApplicableError` for a reference without any, after normalization."""
    import jiwer  # noqa: PLC0415  (the planner knows runners without it)

    found = jiwer.process_words(_reference(reference, language), normalize(hypothesis, language))
    length = found.hits + found.substitutions + found.deletions
    return ErrorCounts(found.substitutions, found.deletions, found.insertions, length)


def character_errors(reference: str, hypothesis: str, language: str) -> ErrorCounts:
    """Count characters, spaces included where the language has them; raises as :func:`word_errors`."""
    import jiwer  # noqa: PLC0415  (as above)

    texts = _reference(reference, language), normalize(hypothesis, language)
    if language.partition("-")[0] in _WITHOUT_SPACES:
        texts = texts[0].replace(" ", ""), texts[1].replace(" ", "")
    found = jiwer.process_characters(*texts)
    length = found.hits + found.substitutions + found.deletions
    return ErrorCounts(found.substitutions, found.deletions, found.insertions, length)


def label_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """Count labels, such as phones, taken as they are; raises :class:`NotApplicableError` for no reference.

    Of the alignments with the fewest errors the one of rapidfuzz is taken, as by jiwer for words.
    """
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415  (jiwer brings it; the planner knows metrics without)

    if not reference:
        msg = "there are no labels to compare with"
        raise NotApplicableError(msg)
    kinds = Counter(step.tag for step in Levenshtein.editops(list(reference), list(hypothesis)))
    return ErrorCounts(kinds["replace"], kinds["delete"], kinds["insert"], len(reference))


def _reference(text: str, language: str) -> str:
    normalized = normalize(text, language)
    if not normalized:
        msg = "there is no text to compare with" if not text.strip() else "the text has no words"
        raise NotApplicableError(msg)
    return normalized


@functools.cache
def _normalizer(language: str) -> Callable[[str], str]:
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer  # noqa: PLC0415  (imports torch)

    normalizer: Callable[[str], str]
    if language == "en":
        with warnings.catch_warnings():
            # Its table of spellings is opened and left to Python to close.
            warnings.simplefilter("ignore", ResourceWarning)
            normalizer = EnglishTextNormalizer()
    else:
        normalizer = BasicTextNormalizer(split_letters=language in _WITHOUT_SPACES)
    return normalizer
