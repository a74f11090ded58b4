"""Reconstruction losses against the packages and the formulas that they were published with."""

import warnings
from collections.abc import Callable

import dac.nn.loss as dac
import numpy as np
import pytest
import torch
from audiotools import AudioSignal
from oracles import spectral_losses
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from tokbench.specs.losses import (
    Losses,
    Mel,
    Reconstruction,
    Stft,
    Term,
    Wave,
    something_is_lost,
    windows_fit_crops,
)
from tokbench.specs.training import Optimizer, Training
from tokbench.training.losses import ReconstructionLosses
from tokbench.training.pqmf import Pqmf

RATE_HZ = 16000
Pair = tuple[Tensor, Tensor]


@pytest.fixture
def pair() -> Pair:
    """Return decoded and wanted noise [2, 1, 4801], with near and with complete silence in them."""
    generator = torch.Generator().manual_seed(0)
    wanted = 0.1 * torch.randn(2, 1, 4801, generator=generator)
    wanted[..., 1000:2600] *= 1e-4
    decoded = wanted + 0.03 * torch.randn(2, 1, 4801, generator=generator)
    decoded[..., 2000:3500] = 0
    return decoded, wanted


def total(pair: Pair, *specs: Reconstruction) -> float:
    losses = ReconstructionLosses(specs, RATE_HZ)
    return float(sum(losses.weights[name] * loss for name, loss in losses(*pair).items()))


def per_example(oracle: Callable[[np.ndarray, np.ndarray, int], float], pair: Pair) -> float:
    decoded, wanted = (signals.squeeze(1).numpy() for signals in pair)
    return float(np.mean([oracle(a, b, RATE_HZ) for a, b in zip(decoded, wanted, strict=True)]))


SOUNDSTREAM = Mel(
    kind="mel",
    weight=1.0,
    window_lengths=(64, 128, 256, 512, 1024, 2048),
    num_mels=(64,),
    terms=(Term(of="linear"), Term(norm="l2", alpha="sqrt(s/2)")),
    over_bins="sum",
    over_windows="sum",
)
AUDIOCRAFT = Mel(
    kind="mel",
    weight=1.0,
    window_lengths=(64, 128, 256, 512, 1024),
    num_mels=(64,),
    min_hz=64.0,
    power=2,
    normalized=True,
    framing="completed",
    floor_by="add",
    log_base="10",
    terms=(Term(of="linear"), Term(norm="mse")),
    over_windows="weighted-mean",
)
HIFI_GAN = Mel(
    kind="mel",
    weight=1.0,
    window_lengths=(1024,),
    hop_lengths=(240,),
    num_mels=(80,),
    mel_scale="slaney",
    mel_norm="slaney",
    framing="aligned",
    power_floor=1e-9,
    power_floor_by="add",
)
AUDIODEC = Mel(
    kind="mel",
    weight=1.0,
    window_lengths=(2048,),
    hop_lengths=(300,),
    num_mels=(80,),
    mel_scale="slaney",
    mel_norm="slaney",
    floor=1e-10,
    power_floor=1e-10,
)
ACADEMICODEC = Mel(
    kind="mel",
    weight=1.0,
    window_lengths=(64, 128, 256, 512, 1024, 2048),
    fft_sizes=(512, 512, 512, 512, 1024, 2048),
    num_mels=(64,),
    power=2,
    floor=1e-7,
    floor_by="add",
    terms=(Term(of="linear"), Term(norm="l2", alpha="sqrt(s/2)")),
    over_windows="sum",
)


@pytest.mark.parametrize(
    ("spec", "oracle"),
    [
        (SOUNDSTREAM, spectral_losses.soundstream),
        (AUDIOCRAFT, spectral_losses.audiocraft),
        (HIFI_GAN, spectral_losses.hifi_gan),
        (AUDIODEC, spectral_losses.audiodec),
        (ACADEMICODEC, spectral_losses.academicodec),
    ],
    ids=["soundstream", "audiocraft", "hifi-gan", "audiodec", "academicodec"],
)
def test_a_declared_loss_is_the_published_one(
    spec: Mel, oracle: Callable[[np.ndarray, np.ndarray, int], float], pair: Pair
) -> None:
    assert total(pair, spec) == pytest.approx(per_example(oracle, pair), rel=1e-4)


def test_funcodec_halves_mel_and_power_spectra(pair: Pair) -> None:
    windows = (32, 64, 128, 256, 512, 1024)
    shared = {
        "weight": 0.5,
        "window_lengths": windows,
        "fft_sizes": (1024,) * len(windows),
        "power": 2,
        "framing": "aligned",
        "log_base": "10",
        "terms": (Term(), Term(norm="mse")),
    }
    mel = Mel(kind="mel", num_mels=(64,), mel_scale="slaney", mel_norm="slaney", **shared)
    expected = per_example(spectral_losses.funcodec, pair)
    assert total(pair, mel, Stft(kind="stft", **shared)) == pytest.approx(expected, rel=1e-4)


def test_uniaudio_hears_the_full_band_and_six_bands_of_it(pair: Pair) -> None:
    terms = (Term(of="linear", norm="convergence"), Term())
    shared = {"weight": 1.0, "power_floor": 1e-7, "floor": 1e-10, "terms": terms}
    resolutions = [(512, 480, 120), (1024, 960, 240)]
    full = Stft(kind="stft", fft_sizes=(512, 1024), window_lengths=(480, 960), hop_lengths=(120, 240), **shared)
    decoded, wanted = (list(signals.squeeze(1).numpy()) for signals in pair)
    expected = spectral_losses.uniaudio(decoded, wanted, resolutions)
    assert total(pair, full) == pytest.approx(expected, rel=1e-4)
    in_bands = Stft(kind="stft", num_bands=6, fft_sizes=(128,), window_lengths=(80,), hop_lengths=(20,), **shared)
    bands = [
        [band for signal in signals for band in spectral_losses.six_bands(signal)] for signals in (decoded, wanted)
    ]
    assert total(pair, in_bands) == pytest.approx(spectral_losses.uniaudio(*bands, [(128, 80, 20)]), rel=1e-4)


def test_the_losses_of_dac_are_those_of_its_package(pair: Pair) -> None:

    def signals() -> list[AudioSignal]:
        return [AudioSignal(samples, RATE_HZ) for samples in pair]

    windows, num_mels = (32, 64, 128, 256, 512, 1024, 2048), (5, 10, 20, 40, 80, 160, 320)
    mel = Mel(
        kind="mel",
        weight=1.0,
        window_lengths=windows,
        num_mels=num_mels,
        mel_scale="slaney",
        mel_norm="slaney",
        log_base="10",
        over_windows="sum",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty filters, and spectra that change their shape
        theirs = dac.MelSpectrogramLoss(
            n_mels=list(num_mels),
            window_lengths=list(windows),
            mel_fmin=[0.0] * 7,
            mel_fmax=[None] * 7,
            pow=1.0,
            mag_weight=0.0,
        )(*signals())
        theirs_linear = dac.MultiScaleSTFTLoss()(*signals())
    assert total(pair, mel) == pytest.approx(float(theirs), rel=1e-4)
    # log10 m² = 2 log10 m.
    stft = Stft(
        kind="stft",
        weight=1.0,
        window_lengths=(2048, 512),
        terms=(Term(weight=2.0), Term(of="linear")),
        log_base="10",
        over_windows="sum",
    )
    assert total(pair, stft) == pytest.approx(float(theirs_linear), rel=1e-4)
    assert total(pair, Wave(kind="wave", weight=3.0)) == pytest.approx(
        3 * float(dac.L1Loss()(*signals())), rel=1e-5
    )


def test_the_losses_of_speechtokenizer_are_those_of_its_package(pair: Pair) -> None:
    from speechtokenizer.trainer import loss  # noqa: PLC0415  (it imports a plotting library)

    theirs = loss.mel_loss(
        *pair, n_fft=1024, num_mels=80, sample_rate=RATE_HZ, hop_size=240, win_size=1024, fmin=0, fmax=8000
    )
    # Its filters have areas as Slaney's do, on the other scale.
    ours = HIFI_GAN.model_copy(update={"mel_scale": "htk", "power_floor": 1e-20, "power_floor_by": "clamp"})
    assert total(pair, ours) == pytest.approx(float(theirs), rel=1e-4)
    wave = Wave(kind="wave", weight=1.0)
    assert total(pair, wave) == pytest.approx(float(loss.recon_loss(*pair)), rel=1e-5)


def test_waves_differ_by_norm(pair: Pair) -> None:
    gain = (1.5 * pair[1], pair[1])
    rms = float(pair[1].square().mean().sqrt())
    assert total(gain, Wave(kind="wave", weight=1.0, norm="l2")) == pytest.approx(0.5 * rms, rel=1e-5)
    assert total(gain, Wave(kind="wave", weight=1.0, norm="mse")) == pytest.approx(0.25 * rms**2, rel=1e-5)


def test_two_of_a_kind_have_names_and_weights_of_their_own(pair: Pair) -> None:
    losses = ReconstructionLosses(
        (HIFI_GAN.model_copy(update={"weight": 45.0}), HIFI_GAN, Wave(kind="wave", weight=500.0)), RATE_HZ
    )
    assert losses.weights == {"mel": 45.0, "mel-2": 1.0, "wave": 500.0}
    values = losses(*pair)
    assert list(values) == list(losses.weights)
    assert values["mel"] == values["mel-2"]


def test_spectra_are_shared_between_losses_of_the_same_windows(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    stft = torch.stft
    monkeypatch.setattr(torch, "stft", lambda *args, **kwargs: calls.append(args[1]) or stft(*args, **kwargs))
    losses = ReconstructionLosses(
        (SOUNDSTREAM, SOUNDSTREAM, Stft(kind="stft", weight=1.0, window_lengths=(64,))), RATE_HZ
    )
    losses(*pair)
    assert sorted(calls) == sorted(2 * SOUNDSTREAM.window_lengths)


@pytest.mark.parametrize("spec", [SOUNDSTREAM, AUDIOCRAFT, HIFI_GAN], ids=["soundstream", "audiocraft", "hifi-gan"])
def test_gradients_are_finite_where_both_are_silent_or_the_same(spec: Mel) -> None:
    wanted = torch.cat([torch.zeros(1, 1, 4800), 0.1 * torch.randn(1, 1, 4800)])
    decoded = wanted.clone().requires_grad_()
    ReconstructionLosses((spec, Wave(kind="wave", weight=1.0, norm="l2")), RATE_HZ)(decoded, wanted)
    sum(ReconstructionLosses((spec,), RATE_HZ)(decoded, wanted).values()).backward()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


def test_the_gradient_is_that_of_a_finite_difference() -> None:
    torch.manual_seed(0)
    wanted, decoded = 0.1 * torch.randn(2, 1, 1, 600)
    spec = AUDIOCRAFT.model_copy(update={"window_lengths": (64, 128)})
    losses = ReconstructionLosses((spec,), RATE_HZ)
    decoded.requires_grad_()
    (gradient,) = torch.autograd.grad(losses(decoded, wanted)["mel"], decoded)
    direction = torch.randn_like(decoded)
    with torch.no_grad():
        ahead, behind = (losses(decoded + step * direction, wanted)["mel"] for step in (1e-3, -1e-3))
    assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-3, rel=2e-2)


def test_a_sine_comes_through_in_the_band_of_its_frequency() -> None:
    for num_bands in (2, 4, 6, 8):
        for band in range(num_bands):
            frequency = (band + 0.5) / num_bands * 0.5
            sine = torch.sin(2 * torch.pi * frequency * torch.arange(6000))
            energies = Pqmf(num_bands)(sine[None])[0, :, 50:-50].square().mean(dim=1)
            assert energies.argmax() == band
            assert energies[band] / energies.sum() > 0.99


def test_half_precision_around_a_loss_does_not_reach_it(pair: Pair) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = total(pair, AUDIOCRAFT)
    assert inside == total(pair, AUDIOCRAFT)


def test_as_many_hops_transforms_and_mels_as_windows() -> None:
    loss = {"kind": "mel", "weight": 1, "window_lengths": [64, 128, 256], "num_mels": [8]}
    for key in ("hop_lengths", "fft_sizes", "num_mels"):
        with pytest.raises(ValidationError, match=f"{key}: expected .*3.* found 2"):
            TypeAdapter(Reconstruction).validate_python({**loss, key: [64, 64]})


def test_a_codec_with_nothing_to_learn_from_or_too_little_audio_is_reported() -> None:
    training = Training(num_steps=1, batch_size=1, crop_s=0.1, optimizer=Optimizer(learning_rate=1.0))
    assert "at least one loss" in (something_is_lost(Losses(), ()) or "")
    assert something_is_lost(Losses(reconstruction=(SOUNDSTREAM,)), ()) is None
    found = windows_fit_crops(Losses(reconstruction=(SOUNDSTREAM,)), training, RATE_HZ)
    assert found is not None
    assert "2048 samples" in found
    assert "found 1600" in found
    assert windows_fit_crops(Losses(reconstruction=(SOUNDSTREAM,)), training, 24000) is None
