"""The networks of a unit vocoder, against what the published code computes and against F0 that is known."""

import math

import numpy as np
import pytest
import torch

from tokbench.models.unit_vocoder import UNVOICED, MelodyDecoder, MelodyEncoder, UnitVocoder, pitch_contours
from tokbench.specs.codec import find_spec
from tokbench.specs.unit_vocoder import UnitVocoderSpec


def spec(scale: str) -> UnitVocoderSpec:
    found, _ = find_spec("unit-vocoder", scale)
    assert isinstance(found, UnitVocoderSpec)
    return found.model_copy(update={"num_units": 100})


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def tiny() -> UnitVocoder:
    torch.manual_seed(0)
    return UnitVocoder(spec("tiny")).eval()


def test_the_paper_scale_has_the_published_numbers_of_parameters() -> None:
    """Counted in CodeGenerator and Quantizer of speech-resynthesis, commit dbb92c8, configs/VCTK."""
    network = UnitVocoder(spec("paper"))
    assert size(network.generator) == 1_377_280 + 1_781_200 + 11_017_152 + 114
    assert size(network.units) == 12_800
    assert size(network.melody_encoder) == 91_520
    assert size(MelodyDecoder(spec("paper").melody)) == 108_161


def test_the_tiny_scale_fits_in_3_mb_of_half_precision() -> None:
    assert size(UnitVocoder(spec("tiny"))) <= 1_450_000


def filled(module: torch.nn.Module) -> torch.nn.Module:
    """Set every weight to a known number."""
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            parameter.copy_(((torch.arange(parameter.numel()) * 0.7 + index).sin() * 0.1).view(parameter.shape))
    return module.eval()


@torch.inference_mode()
def test_the_melody_is_coded_by_the_published_networks() -> None:
    """Values of ``Quantizer`` of speech-resynthesis, commit dbb92c8, with the same weights."""
    melody = spec("paper").melody
    latents = filled(MelodyEncoder(melody))((torch.arange(64) * 0.3).sin()[None, None])
    assert latents.shape == (1, 128, 4)
    expected = torch.tensor([-0.2713887691, -0.3166228831, 0.2664330602])
    torch.testing.assert_close(latents[0, :3, 0], expected, atol=1e-5, rtol=1e-5)
    assert float(latents.square().mean()) == pytest.approx(0.0970807225, rel=1e-4)
    contour = filled(MelodyDecoder(melody))(latents)
    assert contour.shape == (1, 1, 64)
    expected = torch.tensor([-0.0550639853, -0.0594171248, -0.0585648492])
    torch.testing.assert_close(contour[0, 0, :3], expected, atol=1e-5, rtol=1e-5)
    assert float(contour.square().mean()) == pytest.approx(0.0034025223, rel=1e-4)


def harmonics(f0_hz: np.ndarray) -> torch.Tensor:
    phase = 2 * np.pi * np.cumsum(f0_hz) / 16000
    return torch.from_numpy(sum(np.sin(k * phase) / k for k in range(1, 12))).float() * 0.2


def test_a_contour_is_the_deviation_of_log_f0_from_its_mean() -> None:
    """Half a second at 120 Hz and half at 180 Hz: half of log 1.5 below and above the mean, a quarter a unit."""
    voice = harmonics(np.repeat([120.0, 180.0], 8000))
    contours = pitch_contours(torch.stack([voice, torch.zeros(16000)])[:, None], 16000, spec("paper").melody)
    assert contours.frames.shape == (2, 1, 208)  # 200 frames of 5 ms, and as many as fill the last 16
    expected = math.log(1.5) / 2 / 0.25
    assert contours.frames[0, 0, 20:80].median() == pytest.approx(-expected, abs=0.05)
    assert contours.frames[0, 0, 120:180].median() == pytest.approx(expected, abs=0.05)
    assert float(contours.levels[0, 0]) == pytest.approx(math.log(math.sqrt(120 * 180) / 150) / 0.25, abs=0.05)
    assert bool((contours.frames[0, 0, 201:] == UNVOICED).all())
    assert bool((contours.frames[1] == UNVOICED).all())
    assert float(contours.levels[1, 0]) == 0.0


@pytest.mark.parametrize("num_samples", [1, 79, 80, 1280, 1281])
def test_short_audio_has_whole_codes(num_samples: int) -> None:
    contours = pitch_contours(torch.zeros(1, 1, num_samples), 16000, spec("paper").melody)
    assert contours.frames.shape == (1, 1, 16 * math.ceil(num_samples / 1280))


@torch.inference_mode()
def test_each_unit_hears_the_melody_at_its_middle(tiny: UnitVocoder) -> None:
    """Four units for a code of the melody; the last code stands for what comes after it."""
    heard = []
    tiny.generator.register_forward_hook(lambda _module, inputs, _output: heard.append(inputs[0]))
    melody = torch.tensor([[4, 17]])
    samples = tiny(torch.arange(9)[None], melody, torch.zeros(1, 64))
    assert samples.shape == (1, 1, 9 * 320)
    (beside,) = heard
    expected = tiny.melody(torch.tensor([4, 4, 4, 4, 17, 17, 17, 17, 17])).T
    torch.testing.assert_close(beside[0, 64:128], expected)
    torch.testing.assert_close(beside[0, :64], tiny.units(torch.arange(9)).T)


@torch.inference_mode()
def test_a_voice_comes_back_from_its_codes(tiny: UnitVocoder) -> None:
    samples = torch.stack([harmonics(np.full(16000, f0_hz)) for f0_hz in (110.0, 220.0)])[:, None]
    contours = pitch_contours(samples, 16000, tiny.spec.melody)
    codes = tiny.voice_codes(samples, contours)
    assert codes.shape == (2, 8)
    assert codes.min() >= 0
    assert codes.max() < 256
    assert not torch.equal(codes[0], codes[1])
    torch.testing.assert_close(tiny.decoded_voice(codes), tiny.rounded_voice(samples, contours))


def test_the_gradient_passes_the_rounding_of_a_voice(tiny: UnitVocoder) -> None:
    samples = harmonics(np.full(16000, 150.0))[None, None]
    voice = tiny.rounded_voice(samples, pitch_contours(samples, 16000, tiny.spec.melody))
    weight = tiny.voice_encoder.features.weight
    (gradient,) = torch.autograd.grad(voice.square().sum(), [weight])
    assert bool(gradient.abs().sum(dim=1).gt(0).all())


@pytest.mark.parametrize("num_samples", [1, 100, 5000])
def test_a_voice_of_short_audio_is_finite(tiny: UnitVocoder, num_samples: int) -> None:
    samples = torch.zeros(1, 1, num_samples)
    assert tiny.voice_codes(samples, pitch_contours(samples, 16000, tiny.spec.melody)).shape == (1, 8)
