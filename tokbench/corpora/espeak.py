"""Speech from espeak-ng with the times of its phones and words, by the library in the ``espeakng-loader`` wheel.

Source of the interface: ``speak_lib.h`` of espeak-ng 1.52.

A phone starts with its event and ends with the next: a plosive starts with its burst, and its closure counts to the
phone before. Events carry no tones; those are read from the text (:mod:`tokbench.corpora.tones`).
"""

import ctypes
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import espeakng_loader
import numpy as np

from tokbench.corpora.intervals import Interval
from tokbench.errors import TokbenchError

__all__ = ["EspeakError", "Speech", "UnknownVoiceError", "Voice", "speak", "split_words"]


class EspeakError(TokbenchError):
    """espeak-ng refused what it was asked for."""


class UnknownVoiceError(EspeakError):
    """espeak-ng has no voice of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"espeak-ng: no voice named {name!r}")


@dataclass(frozen=True)
class Voice:
    """How to speak."""

    name: str
    """Language and timbre as espeak-ng names them: ``en-us+f2``."""
    pitch: int = 50
    """0 .. 99."""
    rate_wpm: int = 160
    """Words per minute."""
    range: int = 50
    """How far the pitch moves, 0 .. 100; 0 is one note."""
    volume_percent: int = 70
    """At the usual 100 some variants clip."""


@dataclass(frozen=True, eq=False)
class Speech:
    """What was spoken, and when."""

    samples: np.ndarray
    """int16 [T]."""
    sample_rate_hz: int
    phones: tuple[Interval, ...]
    """In IPA, without stress marks, pauses and the marks of a change of language."""
    words: tuple[Interval, ...]
    """As they are written."""


def split_words(text: str) -> list[re.Match[str]]:
    """Return the words of ``text`` with their places: what stands between spaces and punctuation.

    >>> [word[0] for word in split_words("Puis il s'est assis : « voilà ! »")]
    ['Puis', 'il', "s'est", 'assis', 'voilà']
    """
    return list(re.finditer(r"[^\s.,;:!?¿¡…«»\"]+", text))


# speak_lib.h: espeak_AUDIO_OUTPUT, espeak_Initialize's options, espeak_PARAMETER, espeak_EVENT_TYPE.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 0x0001, 0x0002, 0x8000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CHARS_UTF8 = 1
_POSITION_IN_CHARACTERS = 1
_LIST_TERMINATED, _WORD, _PHONEME = 0, 1, 7

_STRESS_MARKS = "ˈˌ"
_LANGUAGE_MARK = "("
"""With which the language begins that a word is spoken in, where it is not that of the voice."""


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_SynthCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class _Mark:
    """An event that matters here."""

    type: int
    sample: int
    text_position: int
    """Index of the word's first character; of use for words only."""
    phone: str = ""
    """Empty for a pause and a change of language."""


def speak(text: str, voice: Voice) -> Speech:
    """Speak ``text``; the same text and voice give the same samples, whatever was spoken before.

    Raises :class:`UnknownVoiceError` for a voice that espeak-ng does not have, and :class:`EspeakError` for text it
    finds nothing to say to.
    """
    with _one_at_a_time, _fresh_library() as library:
        sample_rate_hz = _start(library)
        _check(library.espeak_SetParameter(_VOLUME, voice.volume_percent, 0), f"volume {voice.volume_percent}")
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise UnknownVoiceError(voice.name)
        _check(library.espeak_SetParameter(_PITCH, voice.pitch, 0), f"pitch {voice.pitch}")
        _check(library.espeak_SetParameter(_RATE, voice.rate_wpm, 0), f"rate {voice.rate_wpm}")
        _check(library.espeak_SetParameter(_RANGE, voice.range, 0), f"range {voice.range}")
        samples, marks = _synthesize(library, text)
    phones = tuple(_phones(marks, sample_rate_hz))
    if not phones:
        msg = f"espeak-ng: nothing to say in {text!r}"
        raise EspeakError(msg)
    return Speech(samples, sample_rate_hz, phones, tuple(_words(marks, phones, text, sample_rate_hz)))


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """Load the library for one utterance.

    espeak-ng keeps state from one utterance to the next that none of its functions clears: a repeated sentence
    differs by some samples. Unloading clears it, and costs milliseconds.
    """
    path = espeakng_loader.get_library_path()
    if _is_loaded(path):
        msg = "espeak-ng is in use by another package in this process; build the corpus in a process of its own"
        raise EspeakError(msg)
    library = ctypes.CDLL(path)
    try:
        yield library
        library.espeak_Terminate()
    finally:
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))  # noqa: SLF001  (ctypes has no other way)


def _is_loaded(path: str) -> bool:
    try:
        handle = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)._handle  # noqa: SLF001
    except OSError:
        return False
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(handle))
    return True


def _start(library: ctypes.CDLL) -> int:
    """Return the sample rate in Hz."""
    data = espeakng_loader.get_data_path().encode()
    # In synchronous mode; the asynchronous one hangs now and then.
    rate_hz: int = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT)
    if rate_hz <= 0:
        msg = f"espeak-ng: its data in {espeakng_loader.get_data_path()} cannot be read; reinstall espeakng-loader"
        raise EspeakError(msg)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # or else the clock seeds the noise of breathy voices
    return rate_hz


def _synthesize(library: ctypes.CDLL, text: str) -> tuple[np.ndarray, list[_Mark]]:
    """Return samples int16 [T] and what espeak-ng said about them."""
    pieces, marks = [np.zeros(0, dtype=np.int16)], list[_Mark]()

    def receive(
        wave: "ctypes._Pointer[ctypes.c_short]", num_samples: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        if wave and num_samples:
            pieces.append(np.ctypeslib.as_array(wave, (num_samples,)).copy())
        index = 0
        while (event := events[index]).type != _LIST_TERMINATED:
            if event.type in (_WORD, _PHONEME):
                phone = _phone(event) if event.type == _PHONEME else ""
                marks.append(_Mark(event.type, event.sample, event.text_position - 1, phone))
            index += 1
        return 0

    callback = _SynthCallback(receive)
    library.espeak_SetSynthCallback(callback)
    data = text.encode()
    position = ctypes.c_uint(0)
    status = library.espeak_Synth(
        data, ctypes.c_size_t(len(data) + 1), position, _POSITION_IN_CHARACTERS, position, _CHARS_UTF8, None, None
    )
    _check(status, "synthesis failed")
    _check(library.espeak_Synchronize(), "synthesis failed")
    return np.concatenate(pieces), marks


def _phone(event: _Event) -> str:
    """Return the phone; empty for a pause, and where a foreign word begins or ends, ``(en)`` .. ``(de)``."""
    name = event.id.string.decode()
    return "" if name.startswith(_LANGUAGE_MARK) else name.lstrip(_STRESS_MARKS)


def _check(status: int, what: str) -> None:
    if status != 0:
        msg = f"espeak-ng: {what} (status {status})"
        raise EspeakError(msg)


def _phones(marks: list[_Mark], sample_rate_hz: int) -> Iterator[Interval]:
    phones = [mark for mark in marks if mark.type == _PHONEME]
    for mark, following in pairwise(phones):
        if mark.phone and following.sample > mark.sample:
            yield Interval(mark.sample / sample_rate_hz, following.sample / sample_rate_hz, mark.phone)


def _words(marks: list[_Mark], phones: Sequence[Interval], text: str, sample_rate_hz: int) -> Iterator[Interval]:
    """Yield the words from their first phone to the end of their last one.

    espeak-ng takes some words apart (isn't, l'hôtel): their parts are one word again. It speaks some in one breath
    (of the): there is no time between them, and they stay one interval, ``of the``.
    """
    starts = {mark.text_position: mark.sample / sample_rate_hz for mark in reversed(marks) if mark.type == _WORD}
    spoken: list[tuple[str, float]] = []
    for word in split_words(text):
        start_s = next((starts[place] for place in range(*word.span()) if place in starts), None)
        if start_s is not None:
            spoken.append((word[0], start_s))
        elif spoken:
            label, start_s = spoken[-1]
            spoken[-1] = (f"{label} {word[0]}", start_s)
    for (label, start_s), (_, after_s) in pairwise([*spoken, ("", np.inf)]):
        inside = [phone for phone in phones if start_s <= phone.start_s < after_s]
        if inside:
            yield Interval(inside[0].start_s, inside[-1].end_s, label)
