"""Directions that tell voices apart, against Fisher's criterion written out."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

from tokbench.training.voice_projection import VoiceProjection, statistics_of

NUM_SPEAKERS, NUM_RECORDINGS, NUM_FEATURES = 8, 12, 5


@pytest.fixture
def recordings(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return recordings whose first two features are the speaker's, and whose others, far larger, are not."""
    speakers = np.repeat(np.arange(NUM_SPEAKERS), NUM_RECORDINGS)
    values = rng.normal(0, 0.3, (len(speakers), NUM_FEATURES))
    values[:, :2] += rng.normal(0, 1, (NUM_SPEAKERS, 2))[speakers]
    values[:, 2:] *= 30
    return values, speakers


def test_what_is_the_speakers_is_seen_and_what_is_not_is_passed_over(
    recordings: tuple[np.ndarray, np.ndarray],
) -> None:
    values, speakers = recordings
    projection = VoiceProjection.fit(values, speakers)
    moved = values.copy()
    moved[:, 2:] += 5.0
    same = (projection.embed(values) * projection.embed(moved)).sum(axis=1)
    assert same.mean() > 0.95
    turned = values.copy()
    turned[:, :2] = 2 * projection.mean[:2] - turned[:, :2]
    assert np.median((projection.embed(values) * projection.embed(turned)).sum(axis=1)) < -0.7


def test_the_directions_are_those_of_fisher(recordings: tuple[np.ndarray, np.ndarray]) -> None:
    values, speakers = recordings
    found = VoiceProjection.fit(values, speakers)
    within = np.zeros((NUM_FEATURES, NUM_FEATURES))
    between = np.zeros((NUM_FEATURES, NUM_FEATURES))
    for speaker in range(NUM_SPEAKERS):
        own = values[speakers == speaker]
        # Ledoit and Wolf's estimate of features of unit variance, as scikit-learn takes it class by class.
        scaler = StandardScaler().fit(own)
        shrunk = ledoit_wolf(scaler.transform(own))[0] * np.outer(scaler.scale_, scaler.scale_)
        within += shrunk / NUM_SPEAKERS
    scaler = StandardScaler().fit(values)
    total = ledoit_wolf(scaler.transform(values))[0] * np.outer(scaler.scale_, scaler.scale_)
    between = total - within
    _, vectors = scipy.linalg.eigh(between, within)
    expected = vectors[:, ::-1][:, : found.directions.shape[1]]
    for mine, theirs in zip(found.directions.T, expected.T, strict=True):
        cosine = mine @ theirs / np.linalg.norm(mine) / np.linalg.norm(theirs)
        assert abs(cosine) == pytest.approx(1.0, abs=1e-4)


def test_constant_features_tell_nothing(recordings: tuple[np.ndarray, np.ndarray]) -> None:
    values, speakers = recordings
    constant = np.concatenate([values, np.full((len(values), 2), 3.0)], axis=1)
    plain, padded = VoiceProjection.fit(values, speakers), VoiceProjection.fit(constant, speakers)
    assert not padded.directions[NUM_FEATURES:].any()
    np.testing.assert_allclose(padded.embed(constant), plain.embed(values), atol=1e-5)


def test_embeddings_have_unit_length_and_the_middle_has_none(recordings: tuple[np.ndarray, np.ndarray]) -> None:
    projection = VoiceProjection.fit(*recordings)
    np.testing.assert_allclose(np.linalg.norm(projection.embed(recordings[0]), axis=1), 1.0, atol=1e-6)
    assert not projection.embed(projection.mean[None]).any()


@pytest.mark.parametrize(
    ("values", "speakers"), [(np.ones((4, 2)), [0, 0, 1, 1]), (np.arange(8.0).reshape(4, 2), [0, 0, 0, 0])]
)
def test_nothing_to_tell_apart_is_told(values: np.ndarray, speakers: list[int]) -> None:
    with pytest.raises(ValueError, match="two speakers or more, which differ"):
        VoiceProjection.fit(values, np.array(speakers))


def test_statistics_are_means_and_deviations() -> None:
    found = statistics_of(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32))
    assert found.tolist() == [2.0, 5.0, 1.0, 0.0]
