import dataclasses
import inspect
import subprocess
import sys

import numpy as np
import pytest

from tokbench.errors import UnknownNameError
from tokbench.metrics import catalogue
from tokbench.metrics.base import Metric, SignalPair
from tokbench.metrics.catalogue import METRICS, find_metric, missing_packages

PAIRED = [metric for metric in METRICS.values() if metric.function and not missing_packages(metric)]
FAST = [metric for metric in PAIRED if metric.judge is None]
WITHOUT_CEILING = ("visqol_lattice",)


def name_of(metric: Metric) -> str:
    return metric.name


def ceiling(metric: Metric) -> float:
    """Return the value of a copy: the best end of the bounds."""
    low, high = metric.bounds
    best = high if metric.better == "higher" else low
    assert best is not None
    return best


def test_no_name_is_given_twice() -> None:
    groups = [value for value in vars(catalogue).values() if isinstance(value, tuple) and value]
    named = [item.name for group in groups for item in group if isinstance(item, Metric)]
    assert len(named) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=name_of)
def test_every_metric_says_what_it_is(metric: Metric) -> None:
    assert METRICS[metric.name] is find_metric(metric.name) is metric
    assert metric.title
    assert metric.source
    assert metric.description.endswith(".")
    low, high = metric.bounds
    assert low is None or high is None or low < high


@pytest.mark.parametrize("metric", PAIRED, ids=name_of)
def test_every_function_exists_under_its_name_and_is_documented(metric: Metric) -> None:
    function = metric.resolve()
    assert function.__name__ == metric.name
    assert list(inspect.signature(function).parameters) == ["pair"]
    assert inspect.getdoc(function)


@pytest.mark.parametrize("metric", [metric for metric in FAST if metric.name not in WITHOUT_CEILING], ids=name_of)
def test_a_copy_is_at_the_ceiling(metric: Metric, voice_16khz: np.ndarray) -> None:
    value = metric.resolve()(SignalPair(voice_16khz, voice_16khz.copy(), 16000)).value(metric.pooling)
    assert value == pytest.approx(ceiling(metric), abs=1e-3)
    assert metric.accepts(value)


@pytest.mark.parametrize("metric", FAST, ids=name_of)
def test_noise_is_worse_than_a_copy_or_has_no_value(
    metric: Metric, voice_16khz: np.ndarray, rng: np.random.Generator
) -> None:
    noise = (0.1 * rng.standard_normal(len(voice_16khz))).astype(np.float32)
    copied, noisy = (
        metric.resolve()(SignalPair(voice_16khz, degraded, 16000)).value(metric.pooling)
        for degraded in (voice_16khz, noise)
    )
    if noisy is None:
        # No frame is voiced in both signals.
        assert metric.name in {"f0_rmse_cents", "f0_correlation", "gpe"}
    else:
        assert copied > noisy if metric.better == "higher" else copied < noisy


@pytest.mark.parametrize("metric", FAST, ids=name_of)
@pytest.mark.parametrize("damage", ["clipped", "attenuated", "gated", "inverted", "buzz", "dc"])
def test_bounds_hold_whatever_a_codec_does(metric: Metric, damage: str, voice_16khz: np.ndarray) -> None:
    degraded = {
        "clipped": np.clip(50 * voice_16khz, -1, 1),
        "attenuated": 1e-4 * voice_16khz,
        "gated": np.where(np.arange(len(voice_16khz)) < 20000, voice_16khz, 0),
        "inverted": -voice_16khz,
        "buzz": np.sign(np.sin(2 * np.pi * 100 * np.arange(len(voice_16khz)) / 16000)),
        "dc": voice_16khz + 0.5,
    }[damage].astype(np.float32)
    score = metric.resolve()(SignalPair(voice_16khz, degraded, 16000))
    value = score.value(metric.pooling)
    assert score.weight >= 0
    assert value is None or metric.accepts(value)


def test_an_unknown_name_is_corrected() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no metric named 'pesq_bw'\. Did you mean 'pesq_\wb'\?.*tokbench list"
    ):
        find_metric("pesq_bw")


def test_missing_packages_are_named_as_pip_knows_them() -> None:
    metric = dataclasses.replace(METRICS["visqol"], requires=("numpy", "no_such_package"))
    assert missing_packages(metric) == ["no_such_package"]
    assert missing_packages(METRICS["si_sdr_db"]) == []


def test_listing_metrics_imports_nothing_heavy() -> None:
    code = (
        "import sys, tokbench.metrics.catalogue; print({'torch', 'scipy', 'pandas', 'pyworld'} & set(sys.modules))"
    )
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "set()"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_finite_number_is_missing_with_the_reason(value: float) -> None:
    found = METRICS["si_sdr_db"].summary(value=value, interval=(value, value), num_ok=3, num_total=3)
    assert (found.value, found.low, found.high, found.num_ok) == (None, None, None, 0)
    assert found.reasons == {f"the value came out as {value}": 3}
