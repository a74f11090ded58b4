"""Log-mel frames and residual codebooks, against librosa and loops."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tokbench.audio import Audio
from tokbench.codecs.registry import CARDS
from tokbench.codecs.spectrogram_kmeans import LogMelFrames, ResidualCodebooks, SpectrogramKmeans
from tokbench.errors import SpecError, WeightsError
from tokbench.specs.spectrogram_kmeans import LogMel

LOG_MEL = LogMel(sample_rate_hz=16000, window_length=800, hop_length=320, num_mels=80, floor=1e-2)
SHIPPED_SPEC = CARDS.parent.parent / "specs" / "codecs" / "spectrogram-kmeans.toml"


@pytest.mark.parametrize("num_samples", [1, 319, 320, 321, 3200, 31999])
def test_frames_equal_librosa(num_samples: int, voice_16khz: np.ndarray) -> None:
    samples = voice_16khz[:num_samples]
    mel = librosa.feature.melspectrogram(
        y=np.pad(samples, (0, 800)),  # librosa warns of signals shorter than a window
        sr=16000,
        n_fft=800,
        hop_length=320,
        n_mels=80,
        power=1.0,
        htk=True,
        norm=None,
        pad_mode="constant",
    )
    expected = np.log(np.maximum(mel, 1e-2)).T[: -(-num_samples // 320)]
    frames = LogMelFrames(LOG_MEL)(torch.from_numpy(samples)[None]).numpy()
    np.testing.assert_allclose(frames, expected, atol=1e-3)


@pytest.mark.parametrize("num_frames", [1, 2, 100])
def test_inversion_gives_one_hop_per_frame(num_frames: int) -> None:
    frames = LogMelFrames(LOG_MEL)
    samples = frames.invert(torch.randn(num_frames, 80), iterations=2)
    assert samples.shape == (1, 320 * num_frames)
    assert bool(torch.isfinite(samples).all())


def test_inversion_finds_a_signal_with_nearly_the_same_frames(voice_16khz: np.ndarray) -> None:
    frames = LogMelFrames(LOG_MEL)
    original = frames(torch.from_numpy(voice_16khz)[None])
    again = frames(frames.invert(original, iterations=32))
    random_phase = frames(torch.randn(1, len(voice_16khz)) * float(voice_16khz.std()))
    assert (again - original).abs().mean() < 0.25
    assert (random_phase - original).abs().mean() > 1


def test_inversion_keeps_a_tone_where_it_is() -> None:
    """A burst of 1 kHz in the middle of silence comes back in its place and at its pitch."""
    time_s = torch.arange(16000) / 16000
    burst = 0.3 * torch.sin(2 * torch.pi * 1000 * time_s) * ((time_s > 0.4) & (time_s < 0.6))
    frames = LogMelFrames(LOG_MEL)
    inverted = frames.invert(frames(burst[None]), iterations=32)[0]
    inside = inverted[6400:9600].square().sum() / inverted.square().sum()
    assert inside > 0.95
    spectrum = torch.fft.rfft(inverted[6400:9600]).abs()
    assert float(spectrum.argmax()) * 16000 / 3200 == pytest.approx(1000, abs=30)
    # The mel bands around 1 kHz are wider than a tone, which loses some of its level in them.
    assert inverted[6800:9200].std() == pytest.approx(0.3 / 2**0.5, rel=0.3)


def test_each_codebook_takes_the_nearest_to_what_is_left(rng: np.random.Generator) -> None:
    centroids = rng.standard_normal((3, 8, 5)).astype(np.float32)
    frames = rng.standard_normal((40, 5)).astype(np.float32)
    codebooks = ResidualCodebooks(torch.from_numpy(centroids))
    codes = codebooks(torch.from_numpy(frames))
    decoded = codebooks.decode(codes)
    for f, frame in enumerate(frames):
        rest = frame.astype(np.float64)
        for k in range(3):
            distances = [sum((a - b) ** 2 for a, b in zip(rest, row, strict=True)) for row in centroids[k]]
            assert int(codes[k, f]) == distances.index(min(distances))
            rest = rest - centroids[k][int(codes[k, f])]
        np.testing.assert_allclose(decoded[f].numpy(), frame - rest, atol=1e-5)


def test_chosen_codebooks_are_summed_alone(rng: np.random.Generator) -> None:
    centroids = torch.from_numpy(rng.standard_normal((4, 8, 5)).astype(np.float32))
    codes = torch.from_numpy(rng.integers(0, 8, (3, 10)))
    codebooks = ResidualCodebooks(centroids)
    parts = [codebooks.decode(codes, slice(k, k + 1)) for k in range(3)]
    torch.testing.assert_close(parts[1], centroids[1][codes[1]])
    torch.testing.assert_close(codebooks.decode(codes, slice(1, None)), parts[1] + parts[2])
    torch.testing.assert_close(codebooks.decode(codes), parts[0] + parts[1] + parts[2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return random weights of the shipped spec."""
    (tmp_path / "spec.toml").write_bytes(SHIPPED_SPEC.read_bytes())
    centroids = torch.randint(-128, 128, (8, 256, 80), dtype=torch.int8)
    save_file({"centroids": centroids, "steps": torch.full((8,), 0.05)}, tmp_path / "weights.safetensors")
    return tmp_path


def test_latents_are_the_frames_and_quantized_their_approximation(folder: Path, voice_16khz: np.ndarray) -> None:
    codec = SpectrogramKmeans(num_codebooks=4, weights=folder)
    audio = Audio.from_numpy(voice_16khz, 16000)
    torch.testing.assert_close(codec.latents(audio).values, LogMelFrames(LOG_MEL)(audio.samples))
    quantized = codec.quantized(codec.encode(audio), slice(0, 1)).values
    tables = SpectrogramKmeans(num_codebooks=1, weights=folder).codebooks.centroids
    torch.testing.assert_close(quantized, tables[0][codec.encode(audio).streams[0].indices[0]])


def test_weights_of_another_shape_say_what_was_expected(folder: Path) -> None:
    save_file({"centroids": torch.zeros(8, 256, 40, dtype=torch.int8)}, folder / "weights.safetensors")
    expected = r"weights\.safetensors: expected int8 centroids \[8, 256, 80\] with steps \[8\], found .*40"
    with pytest.raises(WeightsError, match=expected):
        SpectrogramKmeans(num_codebooks=1, weights=folder)


def test_a_truncated_weights_file_is_named(folder: Path) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"weights\.safetensors: expected int8 centroids .* found .*"):
        SpectrogramKmeans(num_codebooks=1, weights=folder)


def test_a_spec_of_another_kind_is_named(folder: Path) -> None:
    spec = (folder / "spec.toml").read_text().replace('kind = "spectrogram-kmeans"', 'kind = "rvq"')
    (folder / "spec.toml").write_text(spec)
    with pytest.raises(SpecError, match=r"spec\.toml: kind: .*found 'rvq'"):
        SpectrogramKmeans(num_codebooks=1, weights=folder)
