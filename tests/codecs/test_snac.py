"""SNAC, against the package called directly, with small random weights."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from same_codes import expect_same_codes
from snac import SNAC
from tiny import snac as tiny_snac
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.registry import load, one
from tokbench.codecs.snac import Snac
from tokbench.codes import Codes
from tokbench.errors import WeightsError, WeightsNotFoundError
from tokbench.testing import run_checks

CARDS = {"snac-24khz": 24000, "snac-32khz": 32000, "snac-44khz": 44100}


class Model:
    """A saved SNAC with the card that describes it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.sample_rate_hz = name, folder, CARDS[name]
        tiny_snac.save(tiny_snac.config(self.sample_rate_hz), folder)
        self.original = SNAC.from_pretrained(str(folder))
        self.hop_length = int(self.original.hop_length) * self.original.vq_strides[0]

    def codec(self) -> Snac:
        loaded = load(one(self.name), weights=self.folder)
        assert isinstance(loaded, Snac)
        return loaded


@pytest.fixture(scope="module", params=CARDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def voice(model: Model, voice_16khz: np.ndarray) -> Audio:
    """Return a voice in noise that swells, so that a random model has something to tell apart."""
    noise = np.random.default_rng(0).standard_normal(len(voice_16khz)) * np.linspace(0, 0.2, len(voice_16khz))
    return Audio.from_numpy(voice_16khz + noise, 16000).resample(model.sample_rate_hz)


def placed_noise(model: Model) -> Callable[..., Tensor]:
    """Return what the package shall draw, layer by layer: for every frame of every layer one seed."""
    rates = model.original.decoder_rates
    steps = [model.original.vq_strides[0] * int(np.prod(rates[: layer + 1])) for layer in range(len(rates))]
    calls = iter(range(len(rates)))
    draw = torch.randn

    def noise(shape: tuple[int, int, int], **_: object) -> Tensor:
        layer = next(calls)
        generators = [
            torch.Generator().manual_seed(frame * len(rates) + layer) for frame in range(shape[2] // steps[layer])
        ]
        return torch.cat([draw(steps[layer], generator=generator) for generator in generators])[None, None]

    return noise


@pytest.mark.parametrize("num_samples", [48000, 12345, 3072, 1])
def test_codes_and_audio_equal_those_of_the_original(
    model: Model, voice: Audio, num_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = Audio(voice.samples[:, :num_samples], model.sample_rate_hz)
    codec = model.codec()
    codes = codec.encode(audio)
    decoded = codec.decode(codes).samples
    with torch.inference_mode():
        expected = model.original.encode(audio.samples[None])
        monkeypatch.setattr(torch, "randn", placed_noise(model))
        audible = model.original.decode([stream.indices for stream in codes.streams])[0][:, :num_samples]
    for stream, indices in zip(codes.streams, expected, strict=True):
        expect_same_codes(stream.indices, indices)
    torch.testing.assert_close(decoded, audible, atol=1e-5, rtol=0)


def test_the_noise_is_as_strong_as_that_of_the_original(model: Model, voice: Audio) -> None:
    codec = model.codec()
    codes = codec.encode(voice)
    placed = codec.decode(codes).samples
    indices = [stream.indices for stream in codes.streams]
    with torch.inference_mode():
        drawn = [model.original.decode(indices)[0][:, : voice.num_samples] for _ in range(2)]
    expected = float((drawn[0] - drawn[1]).std())
    assert expected > 0
    assert float((placed - drawn[0]).std()) == pytest.approx(expected, rel=0.1)


def test_codes_that_do_not_fill_a_window_are_decoded(model: Model, voice: Audio) -> None:
    """Such as those of a language model: the audio before the last window is that of the codes in full."""
    codec = model.codec()
    codes = codec.encode(voice)
    num_samples = 13 * model.hop_length
    cut = [
        replace(s, indices=s.indices[:, : 13 * round(s.frame_rate_hz / codes.streams[0].frame_rate_hz)])
        for s in codes.streams
    ]
    decoded = codec.decode(Codes(tuple(cut), num_samples, model.sample_rate_hz)).samples
    assert decoded.shape == (1, num_samples)
    whole = codec.decode(codes).samples
    # A window is of four frames, and the one before the last hears it.
    torch.testing.assert_close(
        decoded[:, : 4 * model.hop_length], whole[:, : 4 * model.hop_length], atol=1e-5, rtol=0
    )


def test_a_batch_has_the_codes_of_each(model: Model, voice: Audio) -> None:
    audios = [Audio(voice.samples[:, :length], model.sample_rate_hz) for length in (9000, 4001, 16000)]
    for audio, codes in zip(audios, model.codec().encode_batch(audios), strict=True):
        with torch.inference_mode():
            expected = model.original.encode(audio.samples[None])
        for stream, indices in zip(codes.streams, expected, strict=True):
            expect_same_codes(stream.indices, indices)


def test_codes_are_not_all_the_same(model: Model, voice: Audio) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    assert all(len(stream.indices.unique()) > 10 for stream in model.codec().encode(voice).streams)


def test_every_stream_has_its_own_rate(model: Model, voice: Audio) -> None:
    codec = model.codec()
    strides = model.original.vq_strides
    for stream, stride in zip(codec.encode(voice).streams, strides, strict=True):
        frames_of_one_second = model.sample_rate_hz / (model.hop_length / strides[0] * stride)
        assert stream.frame_rate_hz == pytest.approx(frames_of_one_second)
    published = {"snac-24khz": 984.375, "snac-32khz": 1875.0, "snac-44khz": 2583.984375}
    assert codec.info.bitrate_bps == published[model.name]


def test_latents_are_what_the_quantizer_gets_whole_or_in_pieces(model: Model, voice: Audio) -> None:
    codec = model.codec()
    audio = Audio(voice.samples.repeat(1, 5), model.sample_rate_hz)
    pieces = copy.copy(codec)
    pieces.chunk_s = 0.5
    with torch.inference_mode():
        expected = model.original.encoder(model.original.preprocess(audio.samples[None]))[0].T
    for latents in (codec.latents(audio), pieces.latents(audio)):
        torch.testing.assert_close(latents.values, expected, atol=1e-5, rtol=0)


def test_quantized_is_the_sum_of_the_chosen_codebooks(model: Model, voice: Audio) -> None:
    codec = model.codec()
    codes = codec.encode(voice)
    layers = model.original.quantizer.quantizers
    for codebooks in (slice(None), slice(0, 1), slice(1, 3)):
        quantized = codec.quantized(codes, codebooks).values
        with torch.inference_mode():
            for latent in (0, 9, 15):
                rows = list(zip(layers, codes.streams, strict=True))[codebooks]
                chosen = [(layer, stream.indices[:, latent // layer.stride]) for layer, stream in rows]
                expected = sum(layer.out_proj(layer.codebook(index)[..., None])[0, :, 0] for layer, index in chosen)
                torch.testing.assert_close(quantized[latent], expected)


def test_no_code_depends_on_audio_after_its_latency(model: Model) -> None:
    """Whatever comes later than that may change without changing a code; sooner, it does change some."""
    codec = model.codec()
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 24 * model.hop_length, generator=generator) - 0.5
    cut = 16 * model.hop_length
    changed = torch.cat([noise[:, :cut], -noise[:, cut:]], dim=1)
    first, second = (codec._latents(samples) for samples in (noise, changed))
    same = (first == second).all(dim=1).long().cumprod(dim=0).sum()
    latent_length = int(codec.model.hop_length)
    latency = codec.info.latency_s * model.sample_rate_hz
    assert latency == pytest.approx(round(latency / latent_length) * latent_length)
    assert cut - latency <= int(same) * latent_length < cut


def test_it_conforms_on_long_audio(model: Model) -> None:
    results = run_checks(model.name, weights=model.folder, long_input_s=35.0)
    assert [result for result in results if result.status != "passed"] == []


def test_the_card_has_the_latency_of_the_network(model: Model) -> None:
    assert one(model.name).card.latency_s == pytest.approx(model.codec().info.latency_s, abs=1e-4)


@pytest.mark.usefixtures("tokbench_home")
def test_missing_weights_are_asked_for() -> None:
    with pytest.raises(
        WeightsNotFoundError, match=r"config\.json, pytorch_model\.bin from hubertsiuzdak/snac_24khz"
    ):
        load(one("snac-24khz"))


def copied(model: Model, to: Path) -> Path:
    for path in model.folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_truncated_file_is_named(model: Model, tmp_path: Path) -> None:
    file = copied(model, tmp_path) / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: expected a PyTorch checkpoint"):
        Snac(weights=tmp_path)


def test_weights_of_another_shape_are_refused(model: Model, tmp_path: Path) -> None:
    file = copied(model, tmp_path) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "codebook_size": 1024}))
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: expected the tensors of SNAC, found quantizer\."):
        Snac(weights=tmp_path)


def test_a_configuration_without_a_value_is_named(model: Model, tmp_path: Path) -> None:
    file = copied(model, tmp_path) / "config.json"
    values = json.loads(file.read_text())
    del values["noise"]
    file.write_text(json.dumps(values))
    with pytest.raises(WeightsError, match=r"config\.json: expected .*noise"):
        Snac(weights=tmp_path)
