import librosa
import numpy as np
import pytest

from tokbench.corpora.instruments import INSTRUMENTS, Note, played
from tokbench.errors import NotApplicableError
from tokbench.metrics.music import chroma_cosine, chromagram, key_share

RATE_HZ = 24000


def melody(pitches: list[int], instrument: str = "organ") -> np.ndarray:
    notes = [Note(pitch, 0.5 * place, 0.5) for place, pitch in enumerate(pitches)]
    return played(notes, INSTRUMENTS[instrument], duration_s=0.5 * len(pitches), rate_hz=RATE_HZ)


@pytest.mark.parametrize("pitch", [57, 60, 66, 71, 76])
def test_a_tone_is_in_its_pitch_class(pitch: int) -> None:
    tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * np.arange(RATE_HZ) / RATE_HZ)
    chroma = chromagram(tone, RATE_HZ)
    assert (chroma.argmax(axis=1) == pitch % 12).all()
    np.testing.assert_allclose(chroma.sum(axis=1), 1.0)
    assert chroma[:, pitch % 12].min() > 0.5


def test_it_hears_the_notes_that_librosa_hears() -> None:
    samples = melody([60, 64, 67, 72, 69, 65], "flute")
    mine = chromagram(samples, RATE_HZ)
    theirs = librosa.feature.chroma_stft(
        y=samples.astype(np.float32), sr=RATE_HZ, n_fft=3072, hop_length=768, center=False, tuning=0.0
    ).T
    length = min(len(mine), len(theirs))
    assert (mine[:length].argmax(axis=1) == theirs[:length].argmax(axis=1)).mean() > 0.95


def test_the_same_notes_are_alike_whatever_plays_them_and_others_are_not() -> None:
    notes = [60, 64, 67, 72]
    same = chroma_cosine(melody(notes), melody(notes, "strings"), RATE_HZ)
    other = chroma_cosine(melody(notes), melody([61, 66, 63, 68]), RATE_HZ)
    assert chroma_cosine(melody(notes), 0.1 * melody(notes), RATE_HZ) == pytest.approx(1.0)
    assert same > 0.9
    assert other < 0.3


def test_a_loop_over_frames_finds_the_same() -> None:
    one, other = melody([60, 62]), melody([60, 65, 67], "strings")
    pair = chromagram(one, RATE_HZ), chromagram(other, RATE_HZ)
    cosines = [float(a @ b / np.sqrt((a @ a) * (b @ b))) for a, b in zip(*pair, strict=False)]
    assert chroma_cosine(one, other, RATE_HZ) == pytest.approx(np.mean(cosines))


def test_silence_in_what_was_generated_counts_as_wrong() -> None:
    notes = melody([60, 64])
    half = np.concatenate([notes[:12000], np.zeros(12000)])
    assert chroma_cosine(notes, half, RATE_HZ) == pytest.approx(0.5, abs=0.07)


def test_a_key_has_most_of_the_energy_of_its_melodies() -> None:
    major = {0, 2, 4, 5, 7, 9, 11}
    assert key_share(melody([60, 62, 64, 65, 67]), RATE_HZ, major) > 0.85
    assert key_share(melody([61, 66, 63]), RATE_HZ, major) < 0.35
    assert key_share(melody([60]), RATE_HZ, set(range(12))) == pytest.approx(1.0)


def test_too_little_has_no_chroma() -> None:
    with pytest.raises(NotApplicableError, match=r"needs 0\.128 s"):
        chromagram(np.ones(100), RATE_HZ)
    with pytest.raises(NotApplicableError, match="silence has no pitch classes"):
        chromagram(np.zeros(RATE_HZ), RATE_HZ)
