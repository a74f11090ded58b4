"""The phones of a text, as espeak-ng would speak it."""

import functools
import re

from tokbench.corpora.espeak import EspeakError, Voice, speak
from tokbench.corpora.synth_recipe import list_voices
from tokbench.errors import NotApplicableError

__all__ = ["pronounce"]

_HAN = re.compile(r"[\u3400-\u9fff]")
_ROMANIZED = frozenset({"cmn", "yue"})
"""Languages that espeak-ng reads from a romanization here."""


@functools.lru_cache(maxsize=4096)
def pronounce(text: str, language: str) -> tuple[str, ...]:
    """Return the phones of ``text`` in IPA, without stress and pauses.

    Mandarin is read in pinyin and Cantonese in Jyutping. Raises :class:`NotApplicableError` for text without words,
    for Chinese characters, and for a ``language`` that is not known or that espeak-ng has no voice for.
    """
    tag, _, _ = language.partition("-")
    if not text.strip():
        raise NotApplicableError("there is no text to pronounce")
    if not tag:
        raise NotApplicableError("a text in no known language cannot be pronounced")
    if tag in _ROMANIZED and _HAN.search(text):
        raise NotApplicableError("Chinese characters cannot be pronounced, pinyin and Jyutping can")
    voice = list_voices().get(language) or list_voices().get(tag) or tag
    try:
        return tuple(phone.label for phone in speak(text, Voice(voice)).phones)
    except EspeakError as error:
        raise NotApplicableError(str(error)) from error
