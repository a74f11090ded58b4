"""EnCodec, against the model of transformers and the publisher's own, called directly, with random weights."""

import copy
import math
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import encodec
import numpy as np
import pytest
import torch
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer
from safetensors.torch import load_file, save_file
from same_codes import expect_same_codes, holding
from tiny.encodec import CONFIGS, draw_codebooks, model
from torch import Tensor
from transformers import EncodecConfig, EncodecModel

from tokbench.audio import Audio
from tokbench.codecs.encodec import Encodec, StereoEncodec
from tokbench.codecs.registry import expand, list_cards, load, one
from tokbench.errors import WeightsError, WeightsNotFoundError
from tokbench.testing import run_checks

RATES_HZ = {"encodec": 24000, "encodec-32khz": 32000, "encodec-48khz": 48000}
BANDWIDTHS_KBPS = {
    "encodec": [1.5, 3.0, 6.0, 12.0, 24.0],
    "encodec-32khz": [2.2],
    "encodec-48khz": [3.0, 6.0, 12.0, 24.0],
}
SETTINGS = [
    (card, setting, kbps)
    for card, bandwidths in BANDWIDTHS_KBPS.items()
    for setting, kbps in zip(list_cards()[card].settings, bandwidths, strict=True)
]
pytestmark = pytest.mark.usefixtures("two_threads")

PUBLISHED = [case for case in SETTINGS if case[0] != "encodec-32khz"]


@pytest.fixture(scope="module")
def originals() -> dict[str, EncodecModel]:
    """Return the published configurations with few filters, by card."""
    return {card: model(EncodecConfig(**values)) for card, values in CONFIGS.items()}


@pytest.fixture(scope="module")
def folders(originals: dict[str, EncodecModel], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = {card: tmp_path_factory.mktemp(card) for card in originals}
    for card, path in paths.items():
        originals[card].save_pretrained(path)
    return paths


@pytest.fixture(scope="module")
def original(originals: dict[str, EncodecModel]) -> EncodecModel:
    return originals["encodec"]


@pytest.fixture(scope="module")
def folder(folders: dict[str, Path]) -> Path:
    return folders["encodec"]


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000).resample(24000)


def sound(card: str, duration_s: float, seed: int = 0) -> Audio:
    """Return noise that swells and fades, different in each channel."""
    rate_hz, channels = RATES_HZ[card], 2 if card == "encodec-48khz" else 1
    generator = np.random.default_rng(seed)
    time_s = np.arange(max(round(duration_s * rate_hz), 1)) / rate_hz
    envelope = 0.3 * np.abs(np.sin(1.7 * time_s + 0.3))
    return Audio.from_numpy(envelope * generator.standard_normal((channels, len(time_s))), rate_hz)


# The model of transformers


@pytest.mark.parametrize(("card", "setting", "kbps"), SETTINGS)
@pytest.mark.parametrize("duration_s", [0.00004, 0.013, 0.5, 2.3])
def test_codes_and_audio_equal_those_of_transformers(
    card: str, setting: str, kbps: float, duration_s: float, originals: dict, folders: dict[str, Path]
) -> None:
    audio = sound(card, duration_s)
    codec = load(one(f"{card}:{setting}"), weights=folders[card])
    codes = codec.encode(audio)
    indices, samples = by_transformers(originals[card], audio, kbps)
    expect_same_codes(codes.streams[0].indices, indices)
    torch.testing.assert_close(codec.decode(holding(codes, indices)).samples, samples, atol=1e-5, rtol=0)


@torch.inference_mode()
def by_transformers(network: EncodecModel, audio: Audio, kbps: float) -> tuple[Tensor, Tensor]:
    """Return codes [K, F] and samples [C, T]; all chunks but the last, which is padded, have the same length."""
    coded = network.encode(audio.samples[None], bandwidth=kbps)
    padding = coded.last_frame_pad_length
    decoded = network.decode(coded.audio_codes, coded.audio_scales, last_frame_pad_length=padding)
    indices = torch.cat(list(coded.audio_codes[:, 0]), dim=-1)
    return indices[:, : indices.shape[1] - padding], decoded.audio_values[0, :, : audio.num_samples]


@pytest.mark.parametrize("card", CONFIGS)
def test_a_batch_gives_what_transformers_gives_one_by_one(card: str, originals: dict, folders: dict) -> None:
    codec = load(one(card), weights=folders[card])
    audios = [sound(card, duration_s, seed=seed) for seed, duration_s in enumerate((1.0, 0.37, 0.8))]
    kbps = BANDWIDTHS_KBPS[card][list(list_cards()[card].settings).index(codec.info.setting)]
    for audio, codes in zip(audios, codec.encode_batch(audios), strict=True):
        expect_same_codes(codes.streams[0].indices, by_transformers(originals[card], audio, kbps)[0])


@pytest.mark.parametrize("card", CONFIGS)
def test_codes_are_not_all_the_same(card: str, folders: dict[str, Path]) -> None:
    """The comparison with the original would mean little if the random model had one code."""
    indices = load(one(card), weights=folders[card]).encode(sound(card, 2.0)).streams[0].indices
    assert all(len(row.unique()) > 10 for row in indices)


# The publisher's own model and file


@dataclass(frozen=True)
class Published:
    """A model of the publisher's package, and the folder in which its weights lie as the publisher saves them."""

    model: encodec.EncodecModel
    folder: Path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Published]:
    made = {}
    for card, file in (("encodec", "encodec_24khz-d7cc33bc.th"), ("encodec-48khz", "encodec_48khz-7e698e3e.th")):
        network = published_model(card).eval()
        audio = sound(card, 1.0).samples[None]
        with torch.inference_mode():
            latents = network.encoder(audio / 0.2)[0].T
        draw_codebooks([layer._codebook.embed for layer in network.quantizer.vq.layers], latents)
        folder = tmp_path_factory.mktemp(card)
        torch.save(network.state_dict(), folder / file)
        made[card] = Published(network, folder)
    return made


def published_model(card: str) -> encodec.EncodecModel:
    torch.manual_seed(1)
    is_stereo = card == "encodec-48khz"
    sizes = {
        "channels": 2 if is_stereo else 1,
        "n_filters": 4,
        "dimension": 16,
        "norm": "time_group_norm" if is_stereo else "weight_norm",
        "causal": not is_stereo,
        "lstm": 1,
    }
    bandwidths = BANDWIDTHS_KBPS[card]
    num_codebooks = 16 if is_stereo else 32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses the first interface of weight_norm
        encoder, decoder = SEANetEncoder(**sizes), SEANetDecoder(**sizes)
    return encodec.EncodecModel(
        encoder,
        decoder,
        ResidualVectorQuantizer(dimension=16, n_q=num_codebooks, bins=1024),
        bandwidths,
        RATES_HZ[card],
        sizes["channels"],
        normalize=is_stereo,
        segment=1.0 if is_stereo else None,
    )


@pytest.mark.parametrize(("card", "setting", "kbps"), PUBLISHED)
@pytest.mark.parametrize("duration_s", [0.00004, 0.013, 0.5, 2.3])
def test_codes_scales_and_audio_equal_those_of_the_publishers_package(
    card: str, setting: str, kbps: float, duration_s: float, published: dict[str, Published]
) -> None:
    audio = sound(card, duration_s)
    codec = load(one(f"{card}:{setting}"), weights=published[card].folder)
    codes = codec.encode(audio)
    network = published[card].model
    network.set_target_bandwidth(kbps)
    with torch.inference_mode():
        frames = network.encode(audio.samples[None])
        decoded = network.decode(frames)[0, :, : audio.num_samples]
    indices = torch.cat([frame[0] for frame, _ in frames], dim=-1)
    expect_same_codes(codes.streams[0].indices, indices)
    torch.testing.assert_close(codec.decode(holding(codes, indices)).samples, decoded, atol=1e-5, rtol=0)
    if card == "encodec-48khz":
        sent = bytes(codes.streams[1].indices.T.flatten().tolist())
        assert sent == b"".join(struct.pack("!f", float(scale)) for _, scale in frames)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("encoder.model.3.conv.conv.bias", r"no encoder\.layers\.3\.conv\.bias"),
        ("encoder.model.3.conv.conv.weight_v", r"no encoder\.layers\.3\.conv\.weight"),
        ("encoder.model.0.conv.conv.weight_v", r"no encoder\.layers\.0\.conv\.weight"),
        ("encoder.model.0.conv.conv.bias", r"no encoder\.layers\.0\.conv\.bias"),
        ("decoder.model.1.lstm.weight_hh_l0", r"no decoder\.layers\.1\.lstm\.weight_hh_l0"),
    ],
)
def test_a_published_file_without_a_tensor_is_refused(
    name: str, found: str, published: dict[str, Published], tmp_path: Path
) -> None:
    tensors = published["encodec"].model.state_dict()
    file = tmp_path / "encodec_24khz-d7cc33bc.th"
    torch.save({key: value for key, value in tensors.items() if key != name}, file)
    with pytest.raises(
        WeightsError, match=rf"encodec_24khz-d7cc33bc\.th: expected the tensors of .* found {found}"
    ):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_the_file_of_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"head.weight": torch.zeros(2)}, tmp_path / "encodec_24khz-d7cc33bc.th")
    with pytest.raises(WeightsError, match=r"\.th: expected the tensors of EnCodec, found no encoder\.layers\.0"):
        Encodec(num_codebooks=8, weights=tmp_path)


# Chunks with a scale each, at 48 kHz


STRIDE, LENGTH = 47520, 48000


@pytest.mark.parametrize("rest", [1, 160, 161, 320, 321, 481, 47360, 47519, 47520])
def test_any_length_is_coded_chunk_by_chunk(rest: int, folders: dict[str, Path]) -> None:
    """Also where the last chunk ends before the one before it, of which the publisher's package makes no audio."""
    codec = load(one("encodec-48khz:3kbps"), weights=folders["encodec-48khz"])
    audio = sound("encodec-48khz", (2 * STRIDE + rest) / 48000)
    codes = codec.encode(audio)
    lengths = [min(LENGTH, audio.num_samples - offset) for offset in range(0, audio.num_samples, STRIDE)]
    assert codes.streams[0].num_frames == sum(math.ceil(length / 320) for length in lengths)
    assert codes.streams[1].num_frames == len(lengths)
    whole = codec.decode(codes).samples
    alone = codec.decode(codec.encode(Audio(audio.samples[:, STRIDE : STRIDE + LENGTH], 48000))).samples
    # Between the overlaps, a chunk of many is what it is alone.
    middle = slice(480, min(STRIDE, alone.shape[1]) - 480)
    torch.testing.assert_close(whole[:, STRIDE:][:, middle], alone[:, middle], atol=1e-5, rtol=0)


def test_the_scale_counts_in_the_bitrate(folders: dict[str, Path]) -> None:
    info = load(one("encodec-48khz:6kbps"), weights=folders["encodec-48khz"]).info
    assert info.bitrate_bps == pytest.approx((4 * 10 * 150 + 32) / 0.99)


def test_louder_audio_differs_in_the_scale_alone(folders: dict[str, Path]) -> None:
    codec = load(one("encodec-48khz"), weights=folders["encodec-48khz"])
    audio = sound("encodec-48khz", 1.5)
    quiet, loud = codec.encode(audio), codec.encode(Audio(2 * audio.samples, 48000))
    assert torch.equal(quiet.streams[0].indices, loud.streams[0].indices)
    torch.testing.assert_close(2 * codec.decode(quiet).samples, codec.decode(loud).samples, atol=1e-5, rtol=0)


# Long audio


@pytest.mark.parametrize("card", ["encodec", "encodec-32khz"])
def test_pieces_give_what_the_whole_gives(card: str, folders: dict[str, Path]) -> None:
    whole = load(one(card), weights=folders[card])
    pieces = copy.copy(whole)
    whole.chunk_s, pieces.chunk_s = 1000.0, 0.3
    audio = sound(card, 3.21)
    codes = whole.encode(audio)
    expect_same_codes(pieces.encode(audio).streams[0].indices, codes.streams[0].indices)
    torch.testing.assert_close(pieces.decode(codes).samples, whole.decode(codes).samples, atol=1e-6, rtol=0)
    torch.testing.assert_close(pieces.latents(audio).values, whole.latents(audio).values, atol=1e-6, rtol=0)


@pytest.mark.parametrize("card", CONFIGS)
def test_the_convolutions_never_see_more_than_a_piece(card: str, folders: dict[str, Path]) -> None:
    """What bounds the memory for an hour: the longest input of any layer."""
    codec = load(one(card), weights=folders[card])
    longest = 0

    def watch(_: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal longest
        longest = max(longest, inputs[0].shape[-1], output.shape[-1])

    for layer in codec.model.modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            layer.register_forward_hook(watch)
    codec.decode(codec.encode(sound(card, 30.0)))
    assert longest < 5 * RATES_HZ[card]


# What goes into and out of the quantizer


def test_quantized_is_the_sum_of_the_chosen_codebooks(original: EncodecModel, folder: Path, voice: Audio) -> None:
    codec = load(one("encodec:3kbps"), weights=folder)
    codes = codec.encode(voice)
    indices = codes.streams[0].indices
    tables = [layer.codebook.embed for layer in original.quantizer.layers]
    for codebooks in (slice(None), slice(0, 1), slice(1, 3)):
        rows = list(zip(tables, indices, strict=False))[codebooks]
        expected = [[sum(float(t[i[f], d]) for t, i in rows) for d in range(3)] for f in range(5)]
        actual = codec.quantized(codes, codebooks).values[:5, :3]
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_latents_are_what_the_quantizer_gets(original: EncodecModel, folder: Path, voice: Audio) -> None:
    latents = load(one("encodec"), weights=folder).latents(voice)
    with torch.inference_mode():
        expected = original.encoder(voice.samples[None])[0].T
    torch.testing.assert_close(latents.values, expected, atol=1e-6, rtol=0)
    assert latents.frame_rate_hz == pytest.approx(75)


# The cards


def test_every_setting_has_the_bitrate_of_its_name(folder: Path) -> None:
    for reference, kbps in zip(expand("encodec:all"), BANDWIDTHS_KBPS["encodec"], strict=True):
        info = load(reference, weights=folder).info
        assert info.bitrate_bps == 1000 * kbps
        assert info.causal is True
        assert "audioset" in info.trained_on


@pytest.mark.parametrize("card", CONFIGS)
def test_the_number_of_parameters_is_that_of_the_published_model(card: str) -> None:
    full = {"num_filters": 64 if card == "encodec-32khz" else 32, "hidden_size": 128}
    with torch.device("meta"):
        network = EncodecModel(
            EncodecConfig(**{**CONFIGS[card], **full, "codebook_dim": 128, "num_lstm_layers": 2})
        )
    assert sum(parameter.numel() for parameter in network.parameters()) == list_cards()[card].num_parameters


def test_it_conforms(folder: Path) -> None:
    results = run_checks("encodec:6kbps", weights=folder, long_input_s=35.0)
    assert [result for result in results if result.status != "passed"] == []


# Files that are not what they should be


def test_missing_weights_are_asked_for_in_one_sentence(tokbench_home: Path) -> None:
    wanted = r"no weights for encodec\. Download config\.json, model\.safetensors from facebook/encodec_24khz"
    with pytest.raises(WeightsNotFoundError, match=wanted) as caught:
        load(one("encodec"))
    assert str(tokbench_home / "weights" / "encodec_24khz") in str(caught.value)


def copied(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_truncated_file_is_named(folder: Path, tmp_path: Path) -> None:
    file = copied(folder, tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of .* found .*[Ii]ncomplete"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_a_renamed_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    file = copied(folder, tmp_path) / "model.safetensors"
    tensors = load_file(file)
    tensors["decoder.last.bias"] = tensors.pop("decoder.layers.15.conv.bias")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"found none for decoder\.layers\.15\.conv\.bias"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_weights_of_another_shape_are_refused(folder: Path, tmp_path: Path) -> None:
    EncodecConfig(**{**CONFIGS["encodec"], "num_filters": 8}).save_pretrained(copied(folder, tmp_path))
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected the tensors of"):
        Encodec(num_codebooks=8, weights=tmp_path)


def test_a_model_of_the_other_kind_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(
        WeightsError, match=r"config\.json: expected no chunk_length_s, normalize false, found chunk"
    ):
        Encodec(num_codebooks=8, weights=folders["encodec-48khz"])
    with pytest.raises(
        WeightsError, match=r"expected chunk_length_s, overlap and normalize, found chunk_length_s None"
    ):
        StereoEncodec(num_codebooks=8, weights=folders["encodec"])


def test_more_codebooks_than_the_model_has_are_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: expected 64 codebooks .* found 32"):
        Encodec(num_codebooks=64, weights=folder)
