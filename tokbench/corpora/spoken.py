"""Speech by espeak-ng as a recording: with a rest around it, noise under it, and the times of what is said.

A phone or word is where espeak-ng's events say; a tone is that of the syllable as it is written.
"""

from collections.abc import Iterator

from tokbench.corpora.espeak import Speech, Voice, speak
from tokbench.corpora.generated import Sound, in_a_quiet_room
from tokbench.corpora.intervals import Interval, Tier
from tokbench.corpora.tones import is_tonal, tone_of

__all__ = ["PAD_S", "spoken"]

PAD_S = 0.1
"""Before and after the speech."""


def spoken(text: str, voice: Voice, language: str, *, seed: str) -> Sound:
    """Return ``text`` as ``voice`` says it; ``seed`` decides the noise floor."""
    speech = speak(text, voice)
    samples = in_a_quiet_room(speech.samples, num_padded=round(PAD_S * speech.sample_rate_hz), seed=seed)
    return Sound(samples, speech.sample_rate_hz, tuple(_intervals(language, speech)))


def _intervals(language: str, speech: Speech) -> Iterator[tuple[Tier, Interval]]:
    for phone in speech.phones:
        yield "phone", phone.delayed(PAD_S)
    for word in speech.words:
        yield "word", word.delayed(PAD_S)
    for syllable in speech.words if is_tonal(language) else ():  # each written word is one syllable there
        yield "tone", Interval(syllable.start_s, syllable.end_s, tone_of(language, syllable.label)).delayed(PAD_S)
