"""Judges of what is said: the same answer whatever was heard before, and weights in the official format."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tokbench.audio import Audio
from tokbench.corpora.espeak import Voice, speak
from tokbench.errors import UsageError
from tokbench.judges.base import MissingJudgeError
from tokbench.judges.recognizers import PocketSphinx, VocabularyError, Whisper
from tokbench.judges.registry import find_recognizer

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def whisper_model(path: Path, num_languages: int = 99) -> None:
    """Write a small Whisper with random weights, in the format of the published files."""
    from whisper.model import ModelDimensions, Whisper  # noqa: PLC0415  (takes seconds to import)

    torch.manual_seed(0)
    sizes = ModelDimensions(80, 1500, 16, 2, 1, 51766 + num_languages, 448, 16, 2, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": vars(sizes), "model_state_dict": Whisper(sizes).state_dict()}, path)


@pytest.fixture(scope="module")
def spoken() -> dict[str, Audio]:
    """Return digits and a name, as espeak-ng says them."""
    found = {}
    for text in ("seven", "three", "nine", "tokbench"):
        speech = speak(text, Voice("en-us"))
        found[text] = Audio.from_numpy(speech.samples / 32768, speech.sample_rate_hz)
    return found


def test_a_transcript_does_not_depend_on_what_was_heard_before(spoken: dict[str, Audio]) -> None:
    recognizer = find_recognizer("pocketsphinx", vocabulary=DIGITS)
    audios = list(spoken.values())
    together = recognizer.transcribe(audios, language="en")
    assert together[:3] == ["seven", "three", "nine"]
    assert recognizer.transcribe(audios[::-1]) == together[::-1]
    assert PocketSphinx(vocabulary=DIGITS).transcribe(audios[1:2]) == together[1:2]
    assert set(together) <= {*DIGITS, ""}


def test_words_in_brackets_make_many_sentences(spoken: dict[str, Audio]) -> None:
    parts = [spoken[word].samples for word in ("seven", "nine")]
    both = Audio(torch.cat(parts, dim=1), spoken["seven"].sample_rate_hz)
    recognizer = find_recognizer("pocketsphinx", vocabulary=("(seven | three | two) (five | nine)", "one"))
    assert recognizer.transcribe([both, spoken["seven"]])[0] == "seven nine"
    with pytest.raises(VocabularyError, match="cannot pronounce tokbench: its dictionary lacks them"):
        PocketSphinx(vocabulary=["(seven | tokbench)"]).transcribe([both])


def test_free_speech_is_heard_alike_in_any_order() -> None:
    texts = ("Thick fog covered both sides of the valley.", "Please put those wet gloves on the shelf.")
    speech = [speak(text, Voice("en-us")) for text in texts]
    audios = [Audio.from_numpy(item.samples / 32768, item.sample_rate_hz) for item in speech]
    recognizer = find_recognizer("pocketsphinx")
    together = recognizer.transcribe(audios)
    assert all(together)
    assert recognizer.transcribe(audios[::-1]) == together[::-1]
    assert recognizer.transcribe([Audio(torch.zeros(1, 10), 16000)]) == [""]


def test_words_that_a_dictionary_lacks_want_a_pronunciation(spoken: dict[str, Audio]) -> None:
    with pytest.raises(VocabularyError, match="pocketsphinx cannot pronounce tokbench"):
        PocketSphinx(vocabulary=["tokbench", "seven"]).transcribe([spoken["seven"]])
    taught = PocketSphinx(vocabulary=["tokbench", "seven"], pronunciations=[("tokbench", "T AA K B EH N CH")])
    assert taught.transcribe([spoken["seven"], spoken["tokbench"]]) == ["seven", "tokbench"]


def test_the_language_model_is_part_of_who_a_recognizer_is() -> None:
    free, held = find_recognizer("pocketsphinx"), find_recognizer("pocketsphinx", vocabulary=DIGITS)
    assert free.fingerprint != held.fingerprint
    assert free.missing() is None
    assert free.knows("en-us")
    assert free.knows("")
    assert not free.knows("cmn")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # whisper leaves its table of tokens open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whisper_reads_the_published_format(
    tokbench_home: Path, voice_16khz: np.ndarray, rng: np.random.Generator
) -> None:
    from whisper import load_model, transcribe  # noqa: PLC0415  (as above)

    path = tokbench_home / "weights" / "whisper" / "base.pt"
    whisper_model(path)
    recognizer = find_recognizer("whisper:base")
    audios = [Audio.from_numpy(x, 16000) for x in (voice_16khz, 0.1 * rng.standard_normal(8000))]
    together = recognizer.transcribe(audios, language="en")
    assert recognizer.transcribe(audios[::-1], language="en") == together[::-1]
    options = {"language": "en", "temperature": 0.0, "condition_on_previous_text": False, "fp16": False}
    assert together[0] == transcribe(load_model(str(path)), voice_16khz, **options)["text"].strip()
    by_path = Whisper(str(path))
    assert by_path.label == recognizer.label
    assert by_path.transcribe(audios[:1], language="en") == together[:1]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as above
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whisper_knows_cantonese_from_the_model_on_that_has_a_token_for_it(
    tokbench_home: Path, voice_16khz: np.ndarray
) -> None:
    folder = tokbench_home / "weights" / "whisper"
    whisper_model(folder / "base.pt")
    whisper_model(folder / "turbo.pt", num_languages=100)
    base, turbo = find_recognizer("whisper:base"), find_recognizer("whisper:turbo")
    assert not base.knows("yue")
    assert turbo.knows("yue-HK")
    assert base.knows("cmn")
    audio = Audio.from_numpy(voice_16khz, 16000)
    for recognizer in (base, turbo):
        (text,) = recognizer.transcribe([audio], language="yue")
        assert isinstance(text, str)
    with pytest.raises(MissingJudgeError, match="no weights for the judge whisper:small"):
        find_recognizer("whisper:small").knows("yue")


def test_whisper_knows_the_languages_that_it_has_a_token_for() -> None:
    base = Whisper("base")
    assert all(base.knows(language) for language in ("", "en-us", "cmn", "nb", "nn", "fil", "cy"))
    assert not any(base.knows(language) for language in ("ga", "eo", "grc", "xx"))


def test_whisper_writes_chinese_in_characters() -> None:
    whisper, pocketsphinx = find_recognizer("whisper:base"), find_recognizer("pocketsphinx")
    for text, language, is_like in (
        ("mei4 mei5 chang4", "cmn", False),
        ("nei5 hou2", "yue-HK", False),
        ("妹妹唱", "zh", True),
        ("", "cmn", True),
        ("hello", "en", True),
    ):
        assert whisper.spells_like(text, language) == is_like
        assert pocketsphinx.spells_like(text, language)


def test_whisper_without_its_file_says_what_to_put_where(tokbench_home: Path) -> None:
    recognizer = find_recognizer("whisper:tiny.en")
    assert "Put tiny.en.pt of OpenAI's Whisper" in str(recognizer.missing())
    assert str(tokbench_home / "weights" / "whisper") in str(recognizer.missing())
    with pytest.raises(MissingJudgeError, match=r"no weights for the judge whisper:tiny\.en"):
        recognizer.transcribe([])
    assert not recognizer.knows("de")
    assert find_recognizer("whisper:tiny").knows("de")


def test_what_a_recognizer_cannot_do_is_told() -> None:
    with pytest.raises(UsageError, match="which whisper"):
        find_recognizer("whisper")
    with pytest.raises(VocabularyError, match="whisper cannot be held to a vocabulary"):
        find_recognizer("whisper:base", vocabulary=DIGITS)
    with pytest.raises(UsageError, match="pocketsphinx has one model only"):
        find_recognizer("pocketsphinx:large")
