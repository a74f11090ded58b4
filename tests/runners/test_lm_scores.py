"""What is said of outputs: each score on an output that is made by hand, and sums that add up."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokbench.audio import Audio
from tokbench.corpora.base import Utterance
from tokbench.corpora.instruments import INSTRUMENTS, Note, played
from tokbench.corpora.pronunciation import pronounce
from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.judges.recognizers import words_of
from tokbench.judges.speakers import Resemblyzer
from tokbench.metrics.base import SignalPair
from tokbench.metrics.captions import Cider
from tokbench.metrics.catalogue import METRICS
from tokbench.metrics.frechet import moments
from tokbench.metrics.signal import si_sdr_db
from tokbench.runners.base import Failure, attempt
from tokbench.runners.lm_guess import best_answers, score_of
from tokbench.runners.lm_scores import LISTENING, SCORES, SUMS, Listeners, Output, estimate
from tokbench.stats import interval_of

RATE_HZ = 16000
LABELS = ("no", "yes")


class Recognizer:
    """Hears what it is told to hear."""

    name = "told"

    def knows(self, language: str) -> bool:
        return bool(language)

    def spells_like(self, text: str, language: str) -> bool:
        return language != "cmn" or not text.isascii()

    def __init__(self, text: str) -> None:
        self.text = text

    def transcribe(self, audios: list[Audio], *, language: str) -> list[str]:
        del language
        return [self.text for _ in audios]

    writes_digits = False


class Classifier:
    """Hears ``yes`` where the sound is loud."""

    classes = LABELS

    def posteriors(self, audio: Audio) -> np.ndarray:
        loud = float(audio.samples.abs().max())
        return np.array([1 - loud, loud])


class Speakers:
    """Knows a voice by the level of its sound."""

    def embed(self, audios: list[Audio]) -> np.ndarray:
        angles = [float(audio.samples.abs().max()) for audio in audios]
        return np.array([[np.cos(angle), np.sin(angle)] for angle in angles])


def audio(samples: Any, rate_hz: int = RATE_HZ) -> Audio:
    return Audio.from_numpy(np.asarray(samples), rate_hz)


def output(labels: Mapping[str, str] | None = None, **facts: Any) -> Output:
    return Output(Utterance(id="a", path=Path(), labels=labels or {}), facts.pop("language", "en"), **facts)


def score(name: str, made: Output, **listeners: Any) -> tuple[float, float]:
    total, weight = SCORES[name](made, Listeners(**listeners))
    return float(total), float(weight)


def test_every_score_is_in_the_catalogue_and_every_listener_is_needed_for_one() -> None:
    assert SCORES.keys() <= METRICS.keys()
    assert {name for names in LISTENING.values() for name in names} <= SCORES.keys()
    assert SUMS.keys() - SCORES.keys() == {"lm_perplexity"}


def test_what_is_written_is_compared_as_it_is_and_what_is_heard_is_written_down_first() -> None:
    written = output(reference_text="Seven, two.", text="seven to")
    assert score("wer", written) == (1.0, 2.0)
    heard = output(reference_text="seven two", audio=audio([0.5, 0.5]))
    assert score("wer", heard, recognizer=Recognizer("seven two")) == (0.0, 2.0)
    assert score("answer_accuracy", heard, recognizer=Recognizer("SEVEN two!")) == (1.0, 1.0)
    whisper = Recognizer("72")
    assert score("wer", heard, recognizer=whisper) == (2.0, 2.0)
    whisper.writes_digits = True
    assert score("answer_accuracy", heard, recognizer=whisper) == (1.0, 1.0)
    with pytest.raises(NotApplicableError, match="the task names no recognizer"):
        score("wer", heard)


def test_answers_and_slots_are_right_or_not() -> None:
    assert score("answer_accuracy", output(reference_text="on light", text="On, light.")) == (1.0, 1.0)
    assert score("answer_accuracy", output(reference_text="on light", text="off light")) == (0.0, 1.0)
    made = output(reference_text="size small; coffeeDrink latte", text="coffeeDrink latte;  size large; roast dark")
    assert score("slot_f1", made) == (2.0, 5.0)
    with pytest.raises(NotApplicableError, match="it is not known what the answer is"):
        score("answer_accuracy", output(text="x"))


def test_phones_are_those_that_the_text_is_spoken_with() -> None:
    phones = pronounce("two", "en")
    assert score("per", output(reference_text="two", text=" ".join(phones))) == (0.0, len(phones))
    assert score("per", output(reference_text="two", text="x")) == (len(phones), len(phones))
    with pytest.raises(NotApplicableError, match="in no known language"):
        score("per", output(reference_text="two", text="x", language=""))


def test_one_answer_to_everything_is_in_phones_where_those_are_counted() -> None:
    asked = [output(reference_text=text) for text in ("six", "two", "two")]
    best = best_answers(asked, {name: METRICS[name] for name in ("per", "wer")}, Listeners())
    assert best == {"per": "two", "wer": "two"}
    six, two, _ = (tuple(score_of(best["per"], "per", each, Listeners())) for each in asked)
    assert two == (0.0, len(pronounce("two", "en")))
    assert six == (4.0, 4.0)  # four phones, none of which is in the other
    assert isinstance(
        attempt(lambda: score_of("two", "per", output(reference_text="two", language=""), Listeners())), Failure
    )


def test_a_classifier_writes_down_the_class_that_it_hears() -> None:
    heard = output(reference_text="yes", audio=audio([0.9, -0.9]))
    assert score("answer_accuracy", heard, classifier=Classifier()) == (1.0, 1.0)
    assert score("answer_accuracy", heard, classifier=Classifier(), recognizer=Recognizer("no")) == (0.0, 1.0)
    assert [Listeners(**each).can_write for each in ({}, {"classifier": Classifier()})] == [False, True]


def test_captions_are_compared_with_all_that_people_say() -> None:
    captions = [["falling rain is heard", "rain"], ["a siren"]]
    made = output({"captions": " | ".join(captions[0])}, reference_text="falling rain", text="falling rain")
    cider = Cider(captions)
    assert score("cider", made, cider=cider) == (cider.score("falling rain", captions[0]), 1.0)
    assert score("event_f1", made, names=("falling rain", "a siren")) == (2.0, 2.0)
    with pytest.raises(NotApplicableError, match="no captions"):
        score("cider", output(text="x"), cider=cider)


def test_a_classifier_hears_what_was_asked_for_or_something_else() -> None:
    loud = output({"kind": "yes"}, audio=audio([0.9, -0.9]), reference=audio([0.6]))
    listeners = {"classifier": Classifier(), "label": "kind"}
    assert score("class_accuracy", loud, **listeners) == (1.0, 1.0)
    expected = 0.4 * np.log(0.4 / 0.1) + 0.6 * np.log(0.6 / 0.9)
    assert score("class_kl", loud, **listeners)[0] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(NotApplicableError, match="was not taught the class 'maybe'"):
        score("class_accuracy", output({"kind": "maybe"}, audio=audio([0.1])), **listeners)
    with pytest.raises(UndefinedMetricError, match="nothing was generated"):
        score("class_accuracy", output({"kind": "yes"}), **listeners)


def test_a_voice_is_that_of_the_prompt_or_else_of_the_reference() -> None:
    made = {"audio": audio([0.2]), "reference": audio([0.5])}
    assert score("speaker_similarity", output(**made), speakers=Speakers())[0] == pytest.approx(np.cos(0.3))
    prompted = output(**made, voice=audio([0.2]))
    assert score("speaker_similarity", prompted, speakers=Speakers())[0] == pytest.approx(1.0)


def test_where_nobody_is_heard_there_is_no_similarity_but_a_voice_there_must_be() -> None:
    """Resemblyzer asks for 0.24 s, and for a voice in them."""
    voice = Audio.from_numpy(_hum(), RATE_HZ)
    made = {"short": audio([0.2] * 100), "silent": audio([0.0] * RATE_HZ), "none": None}
    for sound in made.values():
        assert score("speaker_similarity", output(audio=sound, reference=voice), speakers=Resemblyzer()) == (
            0.0,
            1.0,
        )
    # What cannot be compared with is no failure of a model.
    with pytest.raises(NotApplicableError, match="hears no voice in silence"):
        score("speaker_similarity", output(audio=voice, reference=made["silent"]), speakers=Resemblyzer())


def _hum() -> np.ndarray:
    """Return a second of a voice that hums."""
    times = np.arange(RATE_HZ) / RATE_HZ
    return (0.1 * np.sign(np.sin(2 * np.pi * 120 * times)) * np.sin(2 * np.pi * 3 * times)).astype(np.float32)


def test_signals_are_compared_in_step_and_what_is_missing_is_silent(rng: np.random.Generator) -> None:
    reference = (0.1 * rng.standard_normal(RATE_HZ)).astype(np.float32)
    short = output(audio=audio(reference[:8000]), reference=audio(reference))
    filled = np.concatenate([reference[:8000], np.zeros(8000, np.float32)])
    expected = si_sdr_db(SignalPair(reference, filled, RATE_HZ)).value()
    assert score("si_sdr_db", short)[0] == pytest.approx(expected)
    assert score("duration_ratio", short) == (0.5, 1.0)
    with pytest.raises(NotApplicableError, match="no recording to compare with"):
        score("si_sdr_db", output(audio=audio([0.1])))


def test_a_constant_delay_is_no_distortion(rng: np.random.Generator) -> None:
    reference = (0.1 * rng.standard_normal(RATE_HZ)).astype(np.float32)
    late = np.concatenate([np.zeros(16, np.float32), reference[:-16]])
    total, _ = score("si_sdr_db", output(audio=audio(late), reference=audio(reference)))
    assert total > 25.0
    turned, _ = score("si_sdr_db", output(audio=audio(-reference), reference=audio(reference)))
    assert turned > 90.0


def melody(pitches: list[int]) -> np.ndarray:
    notes = [Note(pitch, 0.4 * place, 0.4) for place, pitch in enumerate(pitches)]
    return played(notes, INSTRUMENTS["strings"], duration_s=0.4 * len(pitches), rate_hz=RATE_HZ)


def test_music_has_its_key_and_its_notes() -> None:
    labels = {"key": "C", "mode": "major", "notes": "60:20 64:20 67:20"}
    right = output(labels, audio=audio(melody([60, 64, 67])), reference=audio(melody([60, 64, 67])))
    wrong = output(labels, audio=audio(melody([61, 66, 68])), reference=audio(melody([60, 64, 67])))
    for name, least, most in (("key_share", 0.8, 0.4), ("chroma_cosine", 0.99, 0.5), ("pitch_accuracy", 0.7, 0.05)):
        good, bad = (np.divide(*score(name, made)) for made in (right, wrong))
        assert good > least
        assert bad < most
    with pytest.raises(NotApplicableError, match="in which key"):
        score("key_share", output(audio=audio([0.1])))
    with pytest.raises(NotApplicableError, match="no score"):
        score("pitch_accuracy", output(audio=audio([0.1])))


def test_silence_is_in_no_key_and_like_no_music() -> None:
    labels = {"key": "C", "mode": "major"}
    for sound in (audio([0.0] * RATE_HZ), audio([0.1] * 100)):
        made = output(labels, audio=sound, reference=audio(melody([60, 64, 67])))
        assert score("key_share", made) == (0.0, 1.0)
        assert score("chroma_cosine", made) == (0.0, 1.0)
    with pytest.raises(NotApplicableError, match="silence has no pitch classes"):
        score("chroma_cosine", output(labels, audio=audio(melody([60])), reference=audio([0.0] * RATE_HZ)))


def test_a_voiced_frame_beside_an_unvoiced_one_has_its_own_pitch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a quarter of a second of a note, the frames at 0, 10, 20 … ms are those of the places 5, 15, 25 … ms."""
    f0_hz, times_s = np.zeros(31), 0.01 * np.arange(31)
    f0_hz[5:20] = 440.0
    monkeypatch.setattr("tokbench.models.f0.track_f0", lambda *_, **__: (f0_hz, times_s))
    made = output({"notes": "69:15"}, audio=audio([0.1] * 4800), reference=audio([0.1] * 4800))
    right, total = score("pitch_accuracy", made)
    assert total == 30
    assert right == 15


def test_a_recognizer_is_not_asked_for_what_it_cannot_hear() -> None:
    class English(Recognizer):
        name = "some english"

        def knows(self, language: str) -> bool:
            return language == "en"

    with pytest.raises(NotApplicableError, match="not in the script that told writes"):
        score("cer", output(reference_text="qi1", audio=audio([0.1]), language="cmn"), recognizer=Recognizer("七"))
    english = English("seven")
    said = {"reference_text": "sieben", "audio": audio([0.1])}
    with pytest.raises(NotApplicableError, match="some english does not know the language de"):
        score("wer", output(**said, language="de"), recognizer=english)
    with pytest.raises(NotApplicableError, match="not in the vocabulary"):
        score("wer", output(**said), recognizer=english, words=words_of(["(seven | eight)"]))
    both = output(reference_text="Seven eight", audio=audio([0.1]))
    assert score("wer", both, recognizer=english, words=words_of(["(seven | eight)"])) == (1.0, 2.0)


def test_sides_lean_by_so_many_db() -> None:
    tone = np.sin(np.arange(1600) / 5)
    left = audio(np.stack([tone, 0.1 * tone]))
    assert score("side_error_db", output(audio=audio(tone), reference=left))[0] == pytest.approx(20.0, abs=1e-3)
    assert score("side_error_db", output(audio=left, reference=left))[0] == 0.0
    with pytest.raises(NotApplicableError, match="no two sides"):
        score("side_error_db", output(audio=left, reference=audio(tone)))


def test_bass_and_melody_lean_each_to_a_side() -> None:
    """Exchanged, both are as far away from where they belong as they are apart, however loud they are."""
    bass, melody = (np.sin(2 * np.pi * hz * np.arange(16000) / RATE_HZ) for hz in (80.0, 440.0))
    mixed = audio(np.stack([bass + 0.05 * melody, 0.1 * bass + 0.5 * melody]))
    exchanged = audio(np.stack([0.1 * bass + 0.5 * melody, bass + 0.05 * melody]))
    assert score("side_error_db", output(audio=exchanged, reference=mixed))[0] == pytest.approx(40.0, abs=0.01)
    assert score("side_error_db", output(audio=mixed, reference=mixed))[0] == 0.0


def test_sums_of_outputs_make_the_score_of_a_corpus(rng: np.random.Generator) -> None:
    texts = [
        ("two trains go to Rome on Monday", "two trains go to Rome"),
        ("six buses come from Prague", "six buses"),
    ]
    sums = np.stack([SCORES["bleu"](output(reference_text=r, text=t), Listeners()) for r, t in texts])
    value, interval = estimate("bleu", sums[:, None], None)
    assert 20 < value < 90
    assert interval[0] <= value <= interval[1]
    assert estimate("wer", np.array([[[1.0, 4.0]], [[0.0, 4.0]]]), None)[0] == 0.125
    assert estimate("wer", np.array([[[0.0, 0.0]]]), None) == (None, None)
    assert estimate("lm_perplexity", np.array([[[20.0, 10.0]]]), None) == (4.0, None)
    noises = [audio((level * rng.standard_normal(RATE_HZ)).astype(np.float32)) for level in (0.1, 0.1, 0.01)]
    near, far = (
        estimate(
            "frechet_log_mel",
            np.stack([[SCORES["frechet_log_mel"](output(reference=noises[0], audio=other), Listeners())]] * 2),
            None,
        )[0]
        for other in noises[1:]
    )
    assert 0 <= near < 0.1 * far


def test_the_interval_of_a_distance_holds_it_though_draws_with_repetitions_lie_farther_apart(
    rng: np.random.Generator,
) -> None:
    pairs = rng.standard_normal((40, 2, 4, 30))
    sums = np.stack([np.concatenate([moments(frames) for frames in pair]) for pair in pairs])[:, None]
    value, (low, high) = estimate("frechet_log_mel", sums, None)
    assert low <= value <= high
    assert value < interval_of(SUMS["frechet_log_mel"], sums)[0], "the percentile interval lies above the value"


def test_models_of_several_seeds_count_alike_however_much_each_wrote() -> None:
    words = np.array([[[1.0, 4.0], [9.0, 12.0]], [[2.0, 4.0], [0.0, 6.0]]])
    value, (low, high) = estimate("wer", words, None)
    assert value == pytest.approx((3 / 8 + 9 / 18) / 2)
    drawn = [
        sum(sum(words[one, s, 0] for one in units) / sum(words[one, s, 1] for one in units) for s in seeds) / 2
        for units in itertools.product((0, 1), repeat=2)
        for seeds in itertools.product((0, 1), repeat=2)
    ]
    assert (low, high) == pytest.approx((min(drawn), max(drawn)))
    assert estimate("wer", words, ["ann", "ann"]) == (value, None)


def test_spoken_translations_are_compared_without_capitals_and_points() -> None:
    made = output(reference_text="Two trains go to Rome.", audio=audio([0.1]))
    sums = SCORES["asr_bleu"](made, Listeners(recognizer=Recognizer("two trains go to rome")))
    assert estimate("asr_bleu", sums[None, None], None)[0] == pytest.approx(100.0)
