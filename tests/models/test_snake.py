"""The snake activation at twice the rate, against sums, and against the sinc that its filter stands for."""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from tokbench.models.snake import SPAN, AntiAliasedSnake, kaiser_sinc

TAPS = kaiser_sinc(cutoff=0.25, half_width=0.3, num_taps=12).double()


def test_the_filter_is_a_sinc_in_a_kaiser_window() -> None:
    """scipy's design of the same cutoff, with the window's shape from its own formula."""
    attenuation_db = 2.285 * 5 * math.pi * 1.2 + 7.95
    window = ("kaiser", scipy.signal.kaiser_beta(attenuation_db))
    expected = scipy.signal.firwin(12, 0.5, window=window, scale=True)
    np.testing.assert_allclose(TAPS.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert float(TAPS.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(("half_width", "attenuation"), [(0.01, 0.0), (0.15, 21.0), (0.3, 51.0)])
def test_the_window_follows_its_width(half_width: float, attenuation: float) -> None:
    taps = kaiser_sinc(cutoff=0.25, half_width=half_width, num_taps=12)
    beta = scipy.signal.kaiser_beta(2.285 * 5 * math.pi * 4 * half_width + 7.95)
    assert (beta == 0.0) == (attenuation == 0.0)
    expected = scipy.signal.firwin(12, 0.5, window=("kaiser", beta), scale=True)
    np.testing.assert_allclose(taps.numpy(), expected, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_the_activation_against_sums() -> None:
    torch.manual_seed(0)
    snake = AntiAliasedSnake(2).double()
    snake.alpha.copy_(torch.tensor([0.3, -0.4]))
    snake.beta.copy_(torch.tensor([-0.2, 0.5]))
    values = torch.randn(2, 9, dtype=torch.float64)

    def at(row: torch.Tensor, index: int) -> float:
        return float(row[min(max(index, 0), len(row) - 1)])

    taps = snake.taps[0, 0].tolist()
    expected = torch.zeros(2, 9, dtype=torch.float64)
    for channel in range(2):
        frequency, magnitude = math.exp(float(snake.alpha[channel])), math.exp(float(snake.beta[channel]))
        raised = []
        for fine in range(18):
            # Every second sample is zero before the filter: tap n meets sample (fine + 5 - n) / 2 if it is whole.
            steps = [(fine + 5 - n) // 2 for n in range(12)]
            met = [taps[n] * at(values[channel], i) for n, i in enumerate(steps) if (fine + 5 - n) % 2 == 0]
            sample = 2 * sum(met)
            raised.append(sample + math.sin(frequency * sample) ** 2 / (magnitude + 1e-9))
        fine_row = torch.tensor(raised)
        for time in range(9):
            expected[channel, time] = sum(taps[n] * at(fine_row, 2 * time - 5 + n) for n in range(12))
    torch.testing.assert_close(snake(values[None])[0], expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_span_is_what_an_output_depends_on() -> None:
    torch.manual_seed(0)
    snake = AntiAliasedSnake(1).double()
    values = torch.randn(1, 1, 40, dtype=torch.float64)
    changed = values.clone()
    changed[..., 20] += 1.0
    differs = (snake(changed) != snake(values))[0, 0].nonzero()[:, 0]
    assert (int(differs.min()), int(differs.max())) == (20 - SPAN, 20 + SPAN)


@torch.no_grad()
def test_a_harmonic_above_the_band_folds_back_less() -> None:
    """A tone at 0.3 of the rate has its second harmonic at 0.6, which is heard at 0.4: 10 dB less with 12 taps."""
    tone = torch.sin(2 * math.pi * 0.3 * torch.arange(2000, dtype=torch.float64))[None, None]

    def folded_db(signal: torch.Tensor) -> float:
        middle = signal[0, 0, 500:1500]
        spectrum = torch.fft.rfft(middle - middle.mean()).abs()
        return 20 * math.log10(float(spectrum[400] / spectrum[300]))

    assert folded_db(tone + torch.sin(tone).square()) == pytest.approx(-9.0, abs=0.1)
    assert folded_db(AntiAliasedSnake(1).double()(tone)) == pytest.approx(-19.5, abs=0.3)
