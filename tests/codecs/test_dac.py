"""DAC, against the model of transformers and the publisher's own, called directly, with small random weights."""

import copy
import itertools
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import dac
import numpy as np
import pytest
import torch
from same_codes import expect_same_codes, holding
from tiny.dac import CONFIGS, model, spread
from torch import Tensor
from transformers import DacConfig, DacModel

from tokbench.audio import Audio
from tokbench.codecs.dac import Dac
from tokbench.codecs.registry import list_cards, load, one
from tokbench.errors import WeightsError, WeightsNotFoundError

SETTINGS = [(card, setting) for card in CONFIGS for setting in list_cards()[card].settings]
FILES = {
    "dac-16khz": "weights_16khz_8kbps_0.0.5.pth",
    "dac-24khz": "weights_24khz_8kbps_0.0.4.pth",
    "dac-44khz": "weights_44khz_8kbps_0.0.1.pth",
    "dac-44khz-16kbps": "weights_44khz_16kbps_1.0.0.pth",
}


@pytest.fixture(scope="module")
def originals() -> dict[str, DacModel]:
    """Return the published configurations with few channels, by card."""
    return {card: model(DacConfig(**values)) for card, values in CONFIGS.items()}


@pytest.fixture(scope="module")
def folders(originals: dict[str, DacModel], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = {card: tmp_path_factory.mktemp(card) for card in originals}
    for card, path in paths.items():
        originals[card].save_pretrained(path)
    return paths


def sound(card: str, duration_s: float, seed: int = 0) -> Audio:
    """Return noise that swells and fades."""
    rate_hz = CONFIGS[card]["sampling_rate"]
    time_s = np.arange(max(round(duration_s * rate_hz), 1)) / rate_hz
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    return Audio.from_numpy(0.3 * np.abs(np.sin(1.7 * time_s + 0.3)) * noise, rate_hz)


def completed(audio: Audio, hop: int) -> Tensor:
    """Return [1, 1, T] with zeros up to a whole number of frames, as both originals ask for."""
    return torch.nn.functional.pad(audio.samples[None], (0, -audio.num_samples % hop))


def expect_same_audio(actual: Audio, original: Tensor) -> None:
    """The originals leave out the last few samples where a stride is odd; there, silence takes their place."""
    common = min(actual.num_samples, original.shape[-1])
    assert common >= actual.num_samples - 8
    torch.testing.assert_close(actual.samples[:, :common], original[:, :common], atol=1e-5, rtol=0)
    assert not actual.samples[:, common:].any()


@pytest.mark.parametrize(("card", "setting"), [*SETTINGS[::5], ("dac-24khz", "32x1024")])
def test_codes_and_audio_equal_those_of_transformers(
    card: str, setting: str, originals: dict[str, DacModel], folders: dict[str, Path]
) -> None:
    codec = load(one(f"{card}:{setting}"), weights=folders[card])
    num_codebooks = int(setting.partition("x")[0])
    hop = int(np.prod(originals[card].config.downsampling_ratios))
    for duration_s in (0.00004, 0.013, 0.5):
        audio = sound(card, duration_s)
        codes = codec.encode(audio)
        with torch.inference_mode():
            expected = originals[card].encode(completed(audio, hop), n_quantizers=num_codebooks).audio_codes
            decoded = originals[card].decode(audio_codes=expected).audio_values
        expect_same_codes(codes.streams[0].indices, expected[0])
        expect_same_audio(codec.decode(holding(codes, expected[0])), decoded)


@dataclass(frozen=True)
class Published:
    """A model of the publisher's package, and the folder in which its weights lie as the publisher saves them."""

    model: dac.DAC
    folder: Path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Published]:
    made = {}
    for seed, (card, values) in enumerate(CONFIGS.items()):
        torch.manual_seed(seed)
        ratios = values["downsampling_ratios"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it uses the first interface of weight_norm
            network = dac.DAC(
                encoder_dim=values["encoder_hidden_size"],
                encoder_rates=ratios,
                latent_dim=values.get("hidden_size"),
                decoder_dim=values["decoder_hidden_size"],
                decoder_rates=ratios[::-1],
                n_codebooks=values["n_codebooks"],
                sample_rate=values["sampling_rate"],
            ).eval()
        draw(network)
        folder = tmp_path_factory.mktemp(card)
        network.save(folder / FILES[card], package=False)
        made[card] = Published(network, folder)
    return made


@torch.no_grad()
def draw(network: dac.DAC) -> None:
    """Give every layer a weight that passes signals on, and every activation a slope of its own."""
    for layer in network.modules():
        if hasattr(layer, "weight_v"):
            torch.nn.utils.remove_weight_norm(layer)
            spread(layer)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                torch.nn.utils.weight_norm(layer)
        elif hasattr(layer, "alpha"):
            layer.alpha.uniform_(0.5, 2.0)


@pytest.mark.parametrize(("card", "setting"), SETTINGS)
def test_codes_and_audio_equal_those_of_the_publishers_package(
    card: str, setting: str, published: dict[str, Published]
) -> None:
    codec = load(one(f"{card}:{setting}"), weights=published[card].folder)
    network = published[card].model
    for duration_s in (0.00004, 0.013, 0.5):
        audio = sound(card, duration_s)
        codes = codec.encode(audio)
        with torch.inference_mode():
            prepared = network.preprocess(audio.samples[None], codec.info.sample_rate_hz)
            expected = network.encode(prepared, n_quantizers=int(setting.partition("x")[0]))[1]
            decoded = network.decode(network.quantizer.from_codes(expected)[0])[0]
        expect_same_codes(codes.streams[0].indices, expected[0])
        expect_same_audio(codec.decode(holding(codes, expected[0])), decoded)


@pytest.mark.parametrize("card", CONFIGS)
def test_a_batch_and_long_audio_equal_the_publishers(card: str, published: dict[str, Published]) -> None:
    codec, network = load(one(card), weights=published[card].folder), published[card].model
    audios = [sound(card, duration_s, seed=seed) for seed, duration_s in enumerate((1.0, 0.37, 3.1))]
    for audio, codes in zip(audios, codec.encode_batch(audios), strict=True):
        with torch.inference_mode():
            expected = network.encode(network.preprocess(audio.samples[None], None))[1][0]
        expect_same_codes(codes.streams[0].indices, expected)


@pytest.mark.parametrize("card", CONFIGS)
def test_codes_are_not_all_the_same(card: str, folders: dict[str, Path]) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    indices = load(one(card), weights=folders[card]).encode(sound(card, 2.0)).streams[0].indices
    assert all(len(row.unique()) > 10 for row in indices)


# Long audio


@pytest.mark.parametrize("card", CONFIGS)
def test_pieces_give_what_the_whole_gives_and_less_context_does_not(card: str, folders: dict[str, Path]) -> None:
    whole = load(one(f"{card}:2x1024"), weights=folders[card])
    pieces = copy.copy(whole)
    whole.chunk_s, pieces.chunk_s = 1000.0, 0.25
    audio = sound(card, 2.11)
    codes = whole.encode(audio)
    expect_same_codes(pieces.encode(audio).streams[0].indices, codes.streams[0].indices)
    expected = whole.decode(codes).samples
    torch.testing.assert_close(pieces.decode(codes).samples, expected, atol=1e-6, rtol=0)
    context = copy.copy(pieces.context)
    for field in ("decode_before", "decode_after"):
        object.__setattr__(context, field, getattr(context, field) - 3)
    pieces.context = context
    assert float((pieces.decode(codes).samples - expected).abs().max()) > 1e-6


def test_the_convolutions_never_see_more_than_a_piece(folders: dict[str, Path]) -> None:
    """What bounds the memory for an hour: the longest input of any layer."""
    codec = load(one("dac-16khz"), weights=folders["dac-16khz"])
    longest = 0

    def watch(_: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal longest
        longest = max(longest, inputs[0].shape[-1], output.shape[-1])

    for layer in codec.model.modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            layer.register_forward_hook(watch)
    codec.decode(codec.encode(sound("dac-16khz", 40.0)))
    assert longest < 10 * 16000


# What goes into and out of the quantizer


@torch.inference_mode()
def test_quantized_is_the_sum_of_the_chosen_codebooks(originals: dict, folders: dict[str, Path]) -> None:
    codec = load(one("dac-16khz:4x1024"), weights=folders["dac-16khz"])
    codes = codec.encode(sound("dac-16khz", 0.3))
    layers = list(originals["dac-16khz"].quantizer.quantizers)[:4]
    for codebooks in (slice(None), slice(0, 1), slice(1, 3)):
        total = 0
        for layer, row in list(zip(layers, codes.streams[0].indices, strict=True))[codebooks]:
            weight, bias = layer.out_proj.weight[:, :, 0], layer.out_proj.bias
            total = total + layer.codebook.weight[row] @ weight.T + bias
        torch.testing.assert_close(codec.quantized(codes, codebooks).values, total, atol=1e-5, rtol=0)


def test_latents_are_what_the_quantizer_gets(originals: dict, folders: dict[str, Path]) -> None:
    audio = sound("dac-16khz", 0.5)
    with torch.inference_mode():
        expected = originals["dac-16khz"].encoder(completed(audio, 320))[0].T
    latents = load(one("dac-16khz"), weights=folders["dac-16khz"]).latents(audio)
    torch.testing.assert_close(latents.values, expected, atol=1e-6, rtol=0)


# The cards


@pytest.mark.parametrize("card", CONFIGS)
def test_the_number_of_parameters_is_that_of_the_published_model(card: str) -> None:
    full = {"encoder_hidden_size": 64, "decoder_hidden_size": 1536}
    latent = {"hidden_size": 128} if "hidden_size" in CONFIGS[card] else {}
    with torch.device("meta"):
        network = DacModel(DacConfig(**{**CONFIGS[card], **full, **latent}))
    assert sum(parameter.numel() for parameter in network.parameters()) == list_cards()[card].num_parameters


def test_the_hop_follows_from_the_strides_and_not_from_what_the_configuration_says_of_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """The published configuration for 24 kHz says 512, which is that of 44.1 kHz."""
    file = copied(folders["dac-24khz"], tmp_path) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "hop_length": 512}))
    codec = load(one("dac-24khz:1x1024"), weights=tmp_path)
    assert codec.encode(sound("dac-24khz", 1.0)).streams[0].num_frames == 75


# Files that are not what they should be


def copied(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.usefixtures("tokbench_home")
def test_missing_weights_are_asked_for_in_one_sentence() -> None:
    wanted = r"no weights for dac-16khz\. Download config\.json, model\.safetensors from descript/dac_16khz"
    with pytest.raises(WeightsNotFoundError, match=wanted):
        load(one("dac-16khz"))


def test_a_model_for_another_rate_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: expected sampling_rate 24000, found 16000"):
        Dac(num_codebooks=1, sample_rate_hz=24000, weights=folders["dac-16khz"])


def test_more_codebooks_than_the_model_has_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: expected 13 codebooks .* found 12"):
        Dac(num_codebooks=13, sample_rate_hz=16000, weights=folders["dac-16khz"])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("encoder.block.0.weight_v", r"no encoder\.conv1\.weight"),
        ("encoder.block.2.block.1.block.2.alpha", r"no encoder\.block\.1\.res_unit2\.snake2\.alpha"),
        ("decoder.model.3.block.1.bias", r"no decoder\.block\.2\.conv_t1\.bias"),
        ("decoder.model.6.bias", r"no decoder\.conv2\.bias"),
        ("quantizer.quantizers.3.codebook.weight", r"no quantizer\.quantizers\.3\.codebook\.weight"),
    ],
)
def test_a_published_file_without_a_tensor_is_refused(
    name: str, found: str, published: dict[str, Published], tmp_path: Path
) -> None:
    content = torch.load(published["dac-16khz"].folder / FILES["dac-16khz"], weights_only=True)
    del content["state_dict"][name]
    torch.save(content, tmp_path / FILES["dac-16khz"])
    with pytest.raises(WeightsError, match=rf"\.pth: expected the tensors of DacModel, found {found}"):
        Dac(num_codebooks=1, sample_rate_hz=16000, weights=tmp_path)


def test_an_unknown_tensor_in_a_published_file_is_refused(published: dict[str, Published], tmp_path: Path) -> None:
    for name in (
        "encoder.extra",
        "encoder.block.1.block.extra",
        "encoder.block.9.weight",
        "decoder.model.x.weight",
    ):
        content = torch.load(published["dac-16khz"].folder / FILES["dac-16khz"], weights_only=True)
        content["state_dict"][name] = torch.zeros(1)
        torch.save(content, tmp_path / FILES["dac-16khz"])
        with pytest.raises(WeightsError, match=r"\.pth: expected the tensors of DacModel, found an unknown"):
            Dac(num_codebooks=1, sample_rate_hz=16000, weights=tmp_path)


def test_a_published_file_without_its_configuration_is_refused(
    published: dict[str, Published], tmp_path: Path
) -> None:
    content = torch.load(published["dac-16khz"].folder / FILES["dac-16khz"], weights_only=True)
    rest = content["metadata"]["kwargs"]
    broken = [
        ({}, r"metadata\.kwargs"),
        ({"kwargs": {k: rest[k] for k in itertools.islice(rest, 3)}}, r"metadata\.kwargs\.decoder_dim"),
        ({"kwargs": {**rest, "decoder_rates": [2, 2]}}, "mirror"),
    ]
    for metadata, expected in broken:
        torch.save({"state_dict": content["state_dict"], "metadata": metadata}, tmp_path / FILES["dac-16khz"])
        with pytest.raises(WeightsError, match=rf"\.pth: expected .*{expected}"):
            Dac(num_codebooks=1, sample_rate_hz=16000, weights=tmp_path)
