"""The scripts that languages are written in, as far as espeak-ng has a voice for them.

Source of the names of scripts: the names of characters in Unicode, of which they are a word.
"""

import unicodedata

__all__ = ["foreign_letters"]

_LATIN, _SIGN = "LATIN", "SIGN"
_TAGS = {
    "ARABIC": "ar fa sd ug ur",
    "ARMENIAN": "hy hyw",
    "BENGALI": "as bn bpy",
    "CHEROKEE": "chr",
    "CJK": "zh",
    "CYRILLIC": "ba be bg cv kaa kk ky mk nog ru sr tt uk",
    "DEVANAGARI": "hi kok mr ne",
    "ETHIOPIC": "am ti",
    "GEORGIAN": "ka",
    "GREEK": "el grc",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "MALAYALAM": "ml",
    "MYANMAR": "my shn",
    "ORIYA": "or",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
}
"""Languages that are read in each script; of Japanese, espeak-ng reads no Chinese characters."""


def foreign_letters(text: str, language: str) -> str:
    """Return the letters of ``text`` that are of no script of ``language``, each once.

    Every language is read in Latin letters as well. What is a letter and a sign, such as that of a millionth, is of
    all scripts, and so is what modifies letters.

    >>> foreign_letters("smörgåsbord, 日本", "en-us"), foreign_letters("привет OK", "ru")
    ('日本', '')
    """
    tag, _, _ = language.partition("-")
    known = {_LATIN, _SIGN, *(script for script, tags in _TAGS.items() if tag in tags.split())}
    letters = (letter for letter in text if letter.isalpha() and unicodedata.category(letter) != "Lm")
    return "".join(letter for letter in dict.fromkeys(letters) if not known & _words(letter))


def _words(letter: str) -> set[str]:
    """Return the words of the name of ``letter``, and of the letters that it is another form of."""
    plain = unicodedata.normalize("NFKC", letter)
    names = (unicodedata.name(each, "") for each in (letter, *plain))
    return {word for name in names for word in name.replace("-", " ").split()}
