"""The phones of a text, as espeak-ng would speak it."""

import functools
import re

from tokbench.corpora.espeak import EspeakError, Speech, UnknownVoiceError, Voice, speak
from tokbench.corpora.synth_recipe import list_voices
from tokbench.errors import NotApplicableError

__all__ = ["pronounce"]

_HAN = re.compile(r"[\u3400-\u9fff]")
_ROMANIZED = frozenset({"cmn", "yue"})
"""Languages that espeak-ng reads from a romanization here."""


@functools.lru_cache(maxsize=4096)
def pronounce(text: str, language: str) -> tuple[str, ...]:
    """Return the phones of ``text`` in IPA, without stress and pauses.

    Mandarin is read in pinyin and Cantonese in Jyutping; where espeak-ng has no voice for the region of a
    ``language`` (``de-ch``), that of the language is taken.

    Raises :class:`NotApplicableError` for text without words, for Chinese characters, and for a ``language`` that
    is not known or that espeak-ng has no voice for.
    """
    tag, _, _ = language.partition("-")
    if not text.strip():
        raise NotApplicableError("there is no text to pronounce")
    if not tag:
        raise NotApplicableError("a text in no known language cannot be pronounced")
    if tag in _ROMANIZED and _HAN.search(text):
        raise NotApplicableError("Chinese characters cannot be pronounced, pinyin and Jyutping can")
    try:
        return tuple(phone.label for phone in _spoken(text, language, tag).phones)
    except EspeakError as error:
        raise NotApplicableError(str(error)) from error


def _spoken(text: str, language: str, tag: str) -> Speech:
    """Speak as in the region of ``language`` where espeak-ng has a voice for it, and else as ``tag`` is spoken."""
    voices = list_voices()
    # That of the tag alone is espeak-ng's own: its en is that of Britain, which is en-gb, and not America's.
    general = voices[tag] if tag in _ROMANIZED else tag
    try:
        return speak(text, Voice(voices.get(language, language)))
    except UnknownVoiceError:
        return speak(text, Voice(general))
