import dataclasses

import numpy as np
import pytest

from tokbench.errors import MissingPackageError, NotApplicableError, UndefinedMetricError
from tokbench.judges import dnsmos
from tokbench.metrics.base import SignalPair
from tokbench.metrics.catalogue import METRICS

NAMES = [name for name, metric in METRICS.items() if metric.judge == "dnsmos"]


@pytest.mark.parametrize("duration_s", [2.0, 11.0])
def test_ratings_are_those_of_speechmos(voice_16khz: np.ndarray, duration_s: float) -> None:
    from speechmos import dnsmos as speechmos  # noqa: PLC0415  (imports librosa)

    samples = np.tile(voice_16khz, 6)[: int(duration_s * 16000)]
    expected = speechmos.run(samples, 16000)
    ratings = dnsmos.rate(samples)
    assert ratings.overall == pytest.approx(expected["ovrl_mos"], abs=1e-4)
    assert ratings.signal == pytest.approx(expected["sig_mos"], abs=1e-4)
    assert ratings.background == pytest.approx(expected["bak_mos"], abs=1e-4)
    assert ratings.p808 == pytest.approx(expected["p808_mos"], abs=1e-4)


def test_the_four_metrics_come_from_one_look_at_the_decoded_audio(
    voice_16khz: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    ratings = dnsmos.Ratings(signal=3.0, background=4.0, overall=2.5, p808=3.5)
    monkeypatch.setattr(dnsmos, "rate", lambda samples: heard.append(samples) or ratings)
    pair = SignalPair(voice_16khz, -voice_16khz, 16000)
    values = {name: METRICS[name].resolve()(pair).value() for name in NAMES}
    assert values == {f"dnsmos_{name}": value for name, value in dataclasses.asdict(ratings).items()}
    assert len(heard) == 1
    np.testing.assert_array_equal(heard[0], -voice_16khz)


def test_samples_beyond_full_scale_are_clipped(voice_16khz: np.ndarray) -> None:
    loud = 20 * voice_16khz
    assert dnsmos.rate(loud) == dnsmos.rate(np.clip(loud, -1, 1))


def test_ratings_lie_within_the_declared_bounds(rng: np.random.Generator) -> None:
    ratings = dnsmos.rate(rng.uniform(-1, 1, 16000).astype(np.float32))
    for name, value in dataclasses.asdict(ratings).items():
        assert METRICS[f"dnsmos_{name}"].accepts(value)
    assert ratings.overall < 1.5


def test_silence_gets_no_rating(voice_16khz: np.ndarray) -> None:
    with pytest.raises(UndefinedMetricError, match="DNSMOS is undefined for silent decoded audio"):
        dnsmos.dnsmos_overall(SignalPair(voice_16khz, np.zeros_like(voice_16khz), 16000))
    with pytest.raises(NotApplicableError, match="DNSMOS is undefined for a silent reference"):
        dnsmos.dnsmos_overall(SignalPair(np.zeros_like(voice_16khz), voice_16khz, 16000))


def test_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dnsmos.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"DNSMOS needs speechmos\. Install with: pip install speechmos"):
        dnsmos._weights_folder()
