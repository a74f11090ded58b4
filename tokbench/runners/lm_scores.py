"""What is said of the output of a language model: by counting words, by judges, by comparing audio.

Each metric is a function of an output, and of those who listen, to sums that add up over utterances: a total and a
weight, where the metric is a ratio; else what the metric is made of. Audio is compared as mono at 16 kHz, but for
its sides. Words are compared without case and punctuation. Numbers stay the words that they are spoken with, unless
the recognizer writes digits, as Whisper does; then Whisper's normalization of English makes both the same.

Axes: ``N`` utterances, ``S`` seeds, ``M`` sums, ``T`` samples.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.metrics.base import MAX_DELAY_S, Score, SignalPair
from tokbench.metrics.catalogue import find_metric
from tokbench.metrics.recognition import (
    ErrorCounts,
    character_errors,
    label_errors,
    normalize,
    spelling_rules,
    word_errors,
)
from tokbench.stats import interval_of, jackknife_interval_of

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.corpora.base import Utterance
    from tokbench.judges.base import Recognizer, SpeakerEncoder
    from tokbench.judges.classifier import TaughtClassifier
    from tokbench.metrics.captions import Cider

__all__ = [
    "ALL",
    "CEILING",
    "DISTANCES",
    "GUESS",
    "INPUT",
    "LISTENING",
    "ORIGINAL",
    "SCORES",
    "SHUFFLED",
    "SUMS",
    "SWAPPED",
    "UNTRAINED",
    "Listeners",
    "Output",
    "captions_of",
    "estimate",
]

ALL, UNTRAINED, SHUFFLED, SWAPPED, GUESS, CEILING, ORIGINAL, INPUT = (
    "all",
    "untrained",
    "shuffled",
    "swapped",
    "guess",
    "ceiling",
    "original",
    "input",
)
"""Groups of a metric: the trained model, and what stands beside it."""
RATE_HZ = 16000
_SMALLEST_PROBABILITY = 1e-6
"""Of a class, before logarithms are taken."""
_MOST_DB = 40.0
"""Level difference of two sides at most: beyond, one of them is as good as silent."""
_NOBODY = 0.0
"""Similarity to a voice where none is heard, or nothing at all: a model may well have nothing to say."""
_NOTHING = 0.0
"""Share of what is heard in the key, where nothing is heard."""
_LOWEST_MELODY_HZ = 190.0
"""Below the lowest note of a melody of ``synth-music`` (220 Hz), and above the highest one of a bass (123 Hz)."""
_NEAR_CENTS = 50.0
_FRAME_S = 0.01
_ROUNDING = 1e-6
"""Of a place in frames."""
_NOTES_PER_SECOND = 50


@dataclass(frozen=True)
class Output:
    """What a model made of an utterance, or what stands in its place."""

    utterance: "Utterance"
    language: str
    """Of the text."""
    reference_text: str = ""
    """What should be said, or written."""
    reference: "Audio | None" = None
    """What it should sound like."""
    asked: str = ""
    """All that is given as text."""
    voice: "Audio | None" = None
    """Whose voice it should be; that of the reference where there is none."""
    text: str | None = None
    """What was written; None for audio."""
    audio: "Audio | None" = None

    @property
    def sound(self) -> "Audio":
        """The audio; raises :class:`UndefinedMetricError` where there is none."""
        if self.audio is None:
            raise UndefinedMetricError("nothing was generated that could be heard")
        return self.audio

    @property
    def wanted(self) -> "Audio":
        """The reference; raises :class:`NotApplicableError` where there is none."""
        if self.reference is None:
            raise NotApplicableError("there is no recording to compare with")
        return self.reference

    @cached_property
    def pair(self) -> SignalPair:
        """Reference and output, as mono at 16 kHz; the output is cut or followed by silence.

        As in reconstruction, a constant delay of a codec is no distortion, nor is a reversed polarity.
        """
        from tokbench.metrics.alignment import align, find_alignment  # noqa: PLC0415  (imports scipy)

        reference, output = (_mono(audio) for audio in (self.wanted, self.sound))
        found = find_alignment(reference, output, round(MAX_DELAY_S * RATE_HZ)).credible
        return SignalPair(reference, align(reference, output, found), RATE_HZ)


@dataclass(frozen=True)
class Listeners:
    """Who is asked, as far as the task has them."""

    recognizer: "Recognizer | None" = None
    words: Collection[str] = ()
    """Words that the recognizer may hear; any if empty."""
    classifier: "TaughtClassifier | None" = None
    """Who tells classes apart."""
    label: str = ""
    """Column that the classifier tells."""
    speakers: "SpeakerEncoder | None" = None
    cider: "Cider | None" = None
    names: Sequence[str] = ()
    """Of sound events."""
    of_originals: "Listeners | None" = None
    """Who was taught the same on recordings that no codec has touched, where these know the sound of one."""

    def language(self, output: Output) -> str:
        """Return the language by whose rules the text of ``output`` is normalized; empty for those of none."""
        is_spelled = output.text is not None or self.recognizer is None or not self.recognizer.writes_digits
        return spelling_rules(output.language) if is_spelled else output.language

    @property
    def can_write(self) -> bool:
        """Whether somebody writes down what is heard."""
        return self.recognizer is not None or self.classifier is not None

    def text(self, output: Output) -> str:
        """Return what was written, or what the recognizer hears, or else the class that the classifier hears.

        Raises :class:`NotApplicableError` where nobody listens, and for a language that the recognizer does not
        know.
        """
        if output.text is not None:
            return output.text
        if self.recognizer is None and self.classifier is not None:
            return self.classifier.classes[int(self.posteriors(output.sound).argmax())]
        if self.recognizer is None:
            raise NotApplicableError("the task names no recognizer")
        self._check_known(output)
        return self.recognizer.transcribe([output.sound], language=output.language)[0]

    def _check_known(self, output: Output) -> None:
        """Raise :class:`NotApplicableError` for what the recognizer cannot hear, whoever says it."""
        if self.recognizer is not None and not self.recognizer.knows(output.language):
            msg = f"{self.recognizer.name} does not know the language {output.language}"
            raise NotApplicableError(msg)
        language = self.language(output)
        known = {normalize(word, language) for word in self.words}
        if known and not known.issuperset(normalize(output.reference_text, language).split()):
            raise NotApplicableError("the text is not in the vocabulary of the task")

    def posteriors(self, audio: "Audio") -> np.ndarray:
        """Return what the classifier hears, [C]; raises :class:`NotApplicableError` where there is none."""
        if self.classifier is None:
            raise NotApplicableError("the task teaches no classifier")
        return self.classifier.posteriors(audio)

    @property
    def to_originals(self) -> "Listeners":
        """Who listens to recordings that no codec has touched."""
        return self.of_originals or self


Function = Callable[[Output, Listeners], np.ndarray]


def _sums(score: Score) -> np.ndarray:
    return np.array([score.total, score.weight])


def _right(*, is_right: bool) -> np.ndarray:
    return np.array([float(is_right), 1.0])


def _mono(audio: "Audio") -> np.ndarray:
    return audio.to_channels(1).resample(RATE_HZ).mono()


def _errors(count: Callable[[str, str, str], ErrorCounts]) -> Function:
    def errors(output: Output, listeners: Listeners) -> np.ndarray:
        text, recognizer = listeners.text(output), listeners.recognizer
        is_heard = output.text is None
        if (
            is_heard
            and recognizer is not None
            and not recognizer.spells_like(output.reference_text, output.language)
        ):
            raise NotApplicableError(f"the text is not in the script that {recognizer.name} writes")
        return _sums(count(output.reference_text, text, listeners.language(output)).score)

    return errors


def _phone_errors(output: Output, listeners: Listeners) -> np.ndarray:
    from tokbench.corpora.pronunciation import pronounce  # noqa: PLC0415  (the planner has no use for it)

    expected = pronounce(output.reference_text, output.language)
    return _sums(label_errors(expected, listeners.text(output).split()).score)


def _translation(output: Output, listeners: Listeners, name: str, *, is_heard: bool) -> np.ndarray:
    from tokbench.metrics.translation import counts  # noqa: PLC0415  (the planner has no use for it)

    pair = listeners.text(output), output.reference_text
    if is_heard:
        language = listeners.language(output)
        pair = normalize(pair[0], language), normalize(pair[1], language)
    counted: np.ndarray = counts("chrf" if name == "chrf" else "bleu", [pair[0]], [pair[1]])[0].astype(np.float64)
    return counted


def _bleu(output: Output, listeners: Listeners) -> np.ndarray:
    return _translation(output, listeners, "bleu", is_heard=False)


def _chrf(output: Output, listeners: Listeners) -> np.ndarray:
    return _translation(output, listeners, "chrf", is_heard=False)


def _asr_bleu(output: Output, listeners: Listeners) -> np.ndarray:
    return _translation(output, listeners, "bleu", is_heard=True)


def captions_of(utterance: "Utterance") -> list[str]:
    """Return the references of an item, separated by `` | `` in its label ``captions``."""
    return [text for text in utterance.labels.get("captions", "").split(" | ") if text]


def _cider(output: Output, listeners: Listeners) -> np.ndarray:
    references = captions_of(output.utterance)
    if listeners.cider is None or not references:
        raise NotApplicableError("the corpus has no captions")
    return np.array([listeners.cider.score(listeners.text(output), references), 1.0])


def _event_f1(output: Output, listeners: Listeners) -> np.ndarray:
    from tokbench.metrics.captions import name_counts  # noqa: PLC0415  (as above)

    expected = {name for name in listeners.names if name_counts(output.reference_text, [name], {name})[0]}
    if not expected:
        raise NotApplicableError("the reference names no sound event")
    right, named, true = name_counts(listeners.text(output), listeners.names, expected)
    return np.array([2.0 * right, named + true])


def _answer_accuracy(output: Output, listeners: Listeners) -> np.ndarray:
    if not output.reference_text:
        raise NotApplicableError("it is not known what the answer is")
    language = listeners.language(output)
    texts = (normalize(text, language) for text in (output.reference_text, listeners.text(output)))
    return _right(is_right=len(set(texts)) == 1)


def _slots(text: str) -> set[str]:
    return {" ".join(slot.lower().split()) for slot in text.split(";") if slot.strip()}


def _slot_f1(output: Output, listeners: Listeners) -> np.ndarray:
    true, given = _slots(output.reference_text), _slots(listeners.text(output))
    if not true:
        raise NotApplicableError("the item has no slots")
    return np.array([2.0 * len(true & given), len(true) + len(given)])


def _class_accuracy(output: Output, listeners: Listeners) -> np.ndarray:
    from tokbench.training.classifier import class_of  # noqa: PLC0415  (imports torch)

    posteriors = listeners.posteriors(output.sound)
    classes = listeners.classifier.classes if listeners.classifier else ()
    expected = class_of(output.utterance, listeners.label)
    if expected not in classes:
        raise NotApplicableError(f"the classifier was not taught the class {expected!r}")
    return _right(is_right=classes[int(posteriors.argmax())] == expected)


def _class_kl(output: Output, listeners: Listeners) -> np.ndarray:
    heard = (listeners.to_originals.posteriors(output.wanted), listeners.posteriors(output.sound))
    reference, generated = (np.maximum(posteriors, _SMALLEST_PROBABILITY) for posteriors in heard)
    reference, generated = reference / reference.sum(), generated / generated.sum()
    return np.array([max(float((reference * np.log(reference / generated)).sum()), 0.0), 1.0])


def _speaker_similarity(output: Output, listeners: Listeners) -> np.ndarray:
    if listeners.speakers is None:
        raise NotApplicableError("the task names nobody who knows voices")
    try:
        (wanted,) = listeners.speakers.embed([output.voice or output.wanted])
    except UndefinedMetricError as error:
        raise NotApplicableError(f"the voice to compare with: {error}") from error
    try:
        (heard,) = listeners.speakers.embed([output.sound])
    except UndefinedMetricError:
        return np.array([_NOBODY, 1.0])
    return np.array([float(wanted @ heard), 1.0])


def _warped_mcd_db(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
    from tokbench.metrics.pitch import warped_mcd_db  # noqa: PLC0415  (imports numba)

    return np.array([warped_mcd_db(_mono(output.wanted), _mono(output.sound), RATE_HZ), 1.0])


def _duration_ratio(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
    return np.array([output.sound.duration_s, output.wanted.duration_s])


def _paired(name: str) -> Function:
    """Return the metric called ``name`` of the catalogue, which compares signals in step."""

    def paired(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
        return _sums(find_metric(name).resolve()(output.pair))

    return paired


def _chroma_cosine(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
    from tokbench.metrics.music import chroma_cosine  # noqa: PLC0415  (the planner has no use for it)

    return np.array([chroma_cosine(_mono(output.wanted), _mono(output.sound), RATE_HZ), 1.0])


def _key_share(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
    from tokbench.corpora.synth_music import MODES, TONICS  # noqa: PLC0415  (as above)
    from tokbench.metrics.music import key_share  # noqa: PLC0415

    labels = output.utterance.labels
    if labels.get("key") not in TONICS or labels.get("mode") not in MODES:
        raise NotApplicableError("it is not known in which key it is")
    scale = {(TONICS.index(labels["key"]) + step) % 12 for step in MODES[labels["mode"]]}
    try:
        share = key_share(_mono(output.sound), RATE_HZ, scale)
    except NotApplicableError:  # silence, or less than a frame
        share = _NOTHING
    return np.array([share, 1.0])


def _pitch_accuracy(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
    from tokbench.corpora.instruments import frequency_hz  # noqa: PLC0415  (as above)
    from tokbench.models.f0 import track_f0  # noqa: PLC0415  (imports pyworld)

    notes = [note.split(":") for note in output.utterance.labels.get("notes", "").split()]
    if not notes:
        raise NotApplicableError("there is no score")
    pitches = [
        np.full(int(length) * round(1 / (_NOTES_PER_SECOND * _FRAME_S)), int(pitch)) for pitch, length in notes
    ]
    wanted_hz = frequency_hz(np.concatenate(pitches))
    samples = _mono(output.sound)
    start_s = max(output.wanted.duration_s - len(wanted_hz) * _FRAME_S, 0.0) / 2
    f0_hz, times_s = track_f0(samples, RATE_HZ, frame_period_ms=1000 * _FRAME_S)
    # The nearest frame, of two the earlier: between a voiced and an unvoiced one there is no pitch half as high.
    frames = (start_s + (np.arange(len(wanted_hz)) + 0.5) * _FRAME_S - times_s[0]) / _FRAME_S
    places = np.ceil(frames - 0.5 - _ROUNDING).astype(np.int64)
    heard_hz = np.where(places < len(f0_hz), f0_hz[np.minimum(places, len(f0_hz) - 1)], 0.0)
    with np.errstate(divide="ignore"):
        cents = 1200 * np.abs(np.log2(heard_hz / wanted_hz))
    return np.array([float((cents < _NEAR_CENTS).sum()), len(wanted_hz)])


def _side_error_db(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
    if output.wanted.num_channels != len(("left", "right")):
        raise NotApplicableError("the reference has no two sides")
    wanted_db, heard_db = (_lean_db(audio) for audio in (output.wanted, output.sound))
    return np.array([np.abs(wanted_db - heard_db).mean(), 1.0])


def _lean_db(audio: "Audio") -> np.ndarray:
    """Return how much louder the left side is, below and above the lowest note of a melody, [2]; 0 for mono."""
    sides = audio.to_channels(2).samples.numpy().astype(np.float64)
    power = np.square(np.abs(np.fft.rfft(sides, axis=1)))
    is_low = np.fft.rfftfreq(sides.shape[1], 1 / audio.sample_rate_hz) < _LOWEST_MELODY_HZ
    # The spectrum is that of the whole recording: digital silence has none, and leans to no side.
    left, right = (np.array([side[is_low].sum(), side[~is_low].sum()]) / len(is_low) + 1e-12 for side in power)
    leans: np.ndarray = np.clip(10 * np.log10(left / right), -_MOST_DB, _MOST_DB)
    return leans


def _frechet_log_mel(output: Output, listeners: Listeners) -> np.ndarray:  # noqa: ARG001
    from tokbench.metrics.frechet import moments  # noqa: PLC0415  (as above)
    from tokbench.models.classifier import log_mel  # noqa: PLC0415  (imports torch)

    return np.concatenate([moments(log_mel(_mono(audio))) for audio in (output.wanted, output.sound)])


SCORES: Mapping[str, Function] = MappingProxyType(
    {
        "wer": _errors(word_errors),
        "cer": _errors(character_errors),
        "per": _phone_errors,
        "bleu": _bleu,
        "chrf": _chrf,
        "asr_bleu": _asr_bleu,
        "cider": _cider,
        "event_f1": _event_f1,
        "answer_accuracy": _answer_accuracy,
        "slot_f1": _slot_f1,
        "class_accuracy": _class_accuracy,
        "class_kl": _class_kl,
        "speaker_similarity": _speaker_similarity,
        "warped_mcd_db": _warped_mcd_db,
        "duration_ratio": _duration_ratio,
        "chroma_cosine": _chroma_cosine,
        "key_share": _key_share,
        "pitch_accuracy": _pitch_accuracy,
        "side_error_db": _side_error_db,
        "frechet_log_mel": _frechet_log_mel,
        **{name: _paired(name) for name in ("si_sdr_db", "stoi", "estoi", "pesq_wb", "log_spectral_distance_db")},
    }
)
"""By the name of the metric."""

LISTENING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recognizer": ("wer", "cer", "per", "asr_bleu"),
        "classifier": ("class_accuracy", "class_kl"),
        "speaker": ("speaker_similarity",),
    }
)
"""Metrics of audio by who is asked for them."""


def _perplexity(sums: np.ndarray) -> float:
    return float(2.0 ** (sums[0] / sums[1])) if sums[1] else float("nan")


def _translated(name: str, sums: np.ndarray) -> float:
    from tokbench.metrics.translation import score  # noqa: PLC0415  (as above)

    return score("chrf" if name == "chrf" else "bleu", sums)


def _distance(sums: np.ndarray) -> float:
    from tokbench.metrics.frechet import frechet_distance  # noqa: PLC0415  (as above)

    one, other = np.split(sums, 2)
    return frechet_distance(one, other)


SUMS: Mapping[str, Callable[[np.ndarray], float]] = MappingProxyType(
    {
        "bleu": lambda sums: _translated("bleu", sums),
        "asr_bleu": lambda sums: _translated("bleu", sums),
        "chrf": lambda sums: _translated("chrf", sums),
        "lm_perplexity": _perplexity,
        "frechet_log_mel": _distance,
    }
)
"""How sums [M] become a value, for metrics that are no ratio of two."""

DISTANCES = frozenset({"frechet_log_mel"})
"""Those of :data:`SUMS` of which most resamples lie above the value: they hold fewer frames, some repeated."""


def _ratio(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


def estimate(
    name: str, sums: np.ndarray, groups: Sequence[str] | None
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the value of the metric ``name`` and its 95 % interval, of ``sums`` [N, S, M] of utterances and seeds.

    The value is the mean over seeds. ``groups`` names what each utterance is resampled with, such as its speaker.
    None where nothing was counted.
    """
    value = SUMS.get(name, _ratio)
    interval = jackknife_interval_of if name in DISTANCES else interval_of
    found = float(np.mean([value(seed) for seed in sums.sum(axis=0)]))
    return (found, interval(value, sums, groups)) if np.isfinite(found) else (None, None)
