"""K-means units of speech encoders, against scikit-learn's predictions and itertools."""

import itertools
import math
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from same_codes import expect_same_codes
from sklearn.cluster import KMeans, MiniBatchKMeans
from tiny import references, speech_encoders, ssl_units

from tokbench.audio import Audio
from tokbench.codecs.card import Card
from tokbench.codecs.kmeans_units import NearestCentroid, deduplicated
from tokbench.codecs.registry import TRAINED, fingerprint, list_cards, load, one
from tokbench.codecs.ssl_units import SslUnits
from tokbench.errors import WeightsError, WeightsNotFoundError

UNITS = {
    name: card
    for name, card in list_cards().items()
    if card.adapter.endswith(":SslUnits") and not (TRAINED / name).is_dir()
}
"""Published units."""
CARD = UNITS["hubert-base-units"]


@pytest.fixture
def home(tokbench_home: Path) -> Path:
    """Return a folder of weights with a HuBERT and random centroids for each setting."""
    weights = tokbench_home / "weights"
    for file in {arguments["centroids_file"]: None for arguments in CARD.settings.values()}:
        ssl_units.write_centroids(weights / "hubert-base-units" / file, 50)
    speech_encoders.save(CARD.parts["model"], weights, num_layers=9)
    return weights


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000)


def unhashed(setting: str) -> SslUnits:
    """Load a setting of the shipped card without the hashes of the published files."""
    tokenizer = load(next(r for r in references(CARD) if r.setting == setting))
    assert isinstance(tokenizer, SslUnits)
    return tokenizer


@pytest.mark.parametrize("setting", ["l6-km50", "l9-km500"])
def test_units_are_the_predictions_of_scikit_learn(setting: str, home: Path, voice: Audio) -> None:
    """Of a real estimator, fitted on the features of the layer."""
    tokenizer = unhashed(setting)
    frames = tokenizer.latents(voice).values.numpy()
    estimator = MiniBatchKMeans(50, random_state=0, n_init=1).fit(frames)
    joblib.dump(estimator, home / "hubert-base-units" / CARD.settings[setting]["centroids_file"])
    codes = unhashed(setting).encode(voice).streams[0]
    expect_same_codes(codes.indices, torch.from_numpy(estimator.predict(frames)).long()[None])
    assert codes.codebook_size == 50
    assert len(codes.indices.unique()) > 10


@pytest.mark.usefixtures("home")
def test_the_layer_is_that_of_the_setting(voice: Audio) -> None:
    layers = [unhashed(setting).latents(voice).values for setting in ("l6-km50", "l9-km500")]
    features = load(one("hubert-base-features:l6")).latents(voice).values
    assert (layers[0] - layers[1]).abs().max() > 0.1
    # The card of the units says not to normalise, that of the features leaves it to the model's folder.
    assert CARD.arguments == {"normalize": False}
    assert (layers[0] - features).abs().max() > 0


@pytest.mark.usefixtures("home")
def test_deduplicated_units_are_those_of_groupby(voice: Audio) -> None:
    units = unhashed("l6-km100").encode(voice)
    short = unhashed("l6-km100-dedup").encode(voice)
    expected = [unit for unit, _ in itertools.groupby(units.streams[0].indices[0].tolist())]
    assert short.streams[0].indices[0].tolist() == expected
    assert len(expected) < units.num_tokens
    assert short.streams[0].frame_rate_hz is None
    assert short.bitrate_bps == pytest.approx(len(expected) * math.log2(50) / voice.duration_s)
    assert unhashed("l6-km100-dedup").info.bitrate_bps is None


def test_runs_are_shortened_to_one() -> None:
    runs = torch.tensor([45, 103, 103, 34, 5, 5, 5, 45])
    assert deduplicated(runs).tolist() == [45, 103, 34, 5, 45]


def test_quantized_is_the_centroid_of_each_unit(home: Path, voice: Audio) -> None:
    table = ssl_units.write_centroids(home / "hubert-base-units" / "km200" / "km.bin", 50)
    for setting in ("l6-km200", "l6-km200-dedup"):
        tokenizer = unhashed(setting)
        codes = tokenizer.encode(voice)
        expected = np.stack([table[unit] for unit in codes.streams[0].indices[0]])
        np.testing.assert_array_equal(tokenizer.quantized(codes).values.numpy(), expected)


def test_the_nearest_of_many_is_found_in_blocks(rng: np.random.Generator) -> None:
    estimator = KMeans(16, n_init=1, random_state=0).fit(rng.standard_normal((100, 8)).astype(np.float32))
    frames = rng.standard_normal((20000, 8)).astype(np.float32)
    nearest = NearestCentroid(torch.from_numpy(estimator.cluster_centers_))(torch.from_numpy(frames))
    np.testing.assert_array_equal(nearest.numpy(), estimator.predict(frames))


@pytest.mark.parametrize("card", UNITS.values(), ids=list(UNITS))
def test_every_setting_says_its_layer_and_its_number_of_units(card: Card) -> None:
    """Names of settings, of files and the hashes agree, and each setting has a de-duplicated twin."""
    rate_hz = 25 if card.name.startswith("mhubert-25hz") else 50
    for setting, arguments in card.settings.items():
        layer, num_units = setting.split("-")[:2]
        assert layer == f"l{arguments['layer']}"
        assert num_units.removeprefix("km") in arguments["centroids_file"]
        assert list(card.parts["centroids"].by_setting[setting]) == [arguments["centroids_file"]]
        twin = setting.removesuffix("-dedup")
        assert arguments.get("deduplicate", False) == (setting != twin)
        if setting == twin:
            expected = rate_hz * math.log2(int(num_units[2:]))
            assert card.bitrate_bps[setting] == pytest.approx(expected)
            assert f"{setting}-dedup" in card.settings
    assert set(card.parts["centroids"].by_setting) == set(card.settings)


def test_centroids_of_another_model_are_refused(home: Path) -> None:
    ssl_units.write_centroids(home / "hubert-base-units" / "km50" / "km.bin", 50, num_features=24)
    with pytest.raises(
        WeightsError, match=r"km\.bin: expected k-means centroids of 16 features, found .*\[50, 24\]"
    ):
        unhashed("l6-km50")


@pytest.mark.usefixtures("home")
def test_centroids_that_are_not_the_published_ones_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"km50/km\.bin: expected SHA-256 d01a7d5b"):
        load(one("hubert-base-units:l6-km50"))


def test_missing_centroids_are_asked_for(home: Path) -> None:
    (home / "hubert-base-units" / "km50" / "km.bin").unlink()
    wanted = r"no weights for hubert-base-units\. Download km50/km\.bin from https://dl\.fbaipublicfiles\.com"
    with pytest.raises(WeightsNotFoundError, match=wanted):
        load(one("hubert-base-units:l6-km50"))


def test_the_fingerprint_knows_the_centroids(home: Path) -> None:
    first, second = (next(r for r in references(CARD) if r.setting == name) for name in ("l6-km50", "l6-km100"))
    before = fingerprint(first), fingerprint(second)
    ssl_units.write_centroids(home / "hubert-base-units" / "km50" / "km.bin", 49)
    assert fingerprint(first) != before[0]
    assert fingerprint(second) == before[1]
