"""AcademiCodec's HiFi-Codec: the published tensors load, the codes and the audio are those of the authors' code."""

from pathlib import Path

import pytest
import torch
from tiny.academicodec import checkpoint
from tiny.listings import listed, num_parameters, part
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.academicodec import AcademiCodec, renamed
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly
from tokbench.codecs.registry import list_cards
from tokbench.errors import WeightsError
from tokbench.models.hificodec import GroupResidualQuantizer, HifiCodecEncoder
from tokbench.models.hifigan import HifiGanGenerator
from tokbench.specs.networks import HifiCodec, HifiGan

CARDS = {name: card for name, card in list_cards().items() if name.startswith("academicodec")}


def listing_of(card_name: str) -> str:
    return "academicodec_240d" if card_name.endswith("240d") else "academicodec_320d"


def saved(tensors: object, folder: Path) -> Path:
    torch.save(tensors, folder / "checkpoint")
    return folder


def codec_of(folder: Path, listing: str = "academicodec_320d") -> AcademiCodec:
    is_320 = listing.endswith("320d")
    return AcademiCodec(
        checkpoint="checkpoint",
        sample_rate_hz=16000 if is_320 else 24000,
        strides=(8, 5, 4 if is_320 else 3, 2),
        kernel_sizes=(16, 11, 8 if is_320 else 7, 4),
        weights=folder,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(checkpoint("academicodec_320d"), tmp_path_factory.mktemp("academicodec"))


def sweep(num_samples: int, rate_hz: int) -> Audio:
    time = torch.arange(num_samples, dtype=torch.float64)
    samples = 0.3 * torch.sin(2e-6 * time * time + 0.05 * time) * torch.cos(0.001 * time)
    return Audio(samples.float()[None], rate_hz)


@pytest.mark.parametrize("name", CARDS)
def test_the_published_tensors_load_strictly(name: str) -> None:
    card, shapes = CARDS[name], listed(listing_of(name))
    arguments = card.arguments
    with torch.device("meta"):
        strides, kernel_sizes = tuple(arguments["strides"]), tuple(arguments["kernel_sizes"])
        encoder = HifiCodec(kind="hificodec", kernel_sizes=kernel_sizes[::-1])
        generator = HifiGan(kind="hifigan", kernel_sizes=kernel_sizes)
        networks = {
            "encoder": HifiCodecEncoder(encoder, dimension=512, strides=strides[::-1]),
            "generator": HifiGanGenerator(generator, dimension=512, strides=strides),
            "quantizer": GroupResidualQuantizer(dimension=512),
        }
        for role, network in networks.items():
            tensors = part({key: torch.empty(shape) for key, shape in shapes.items()}, role)
            folded = {renamed(key, role): value for key, value in fold_weight_norms(tensors).items()}
            load_strictly(network, folded, Path(role))


def test_the_parameters_are_as_many_as_published() -> None:
    """Counts by the authors' classes: encoder, generator and quantizer."""
    shapes = listed("academicodec_320d")
    counts = {
        role: num_parameters({key: shape for key, shape in shapes.items() if key.startswith(role)})
        for role in ("encoder", "generator", "quantizer")
    }
    assert counts == {"encoder": 47_228_960, "generator": 15_353_346, "quantizer": 1_048_576}
    for name, card in CARDS.items():
        assert card.num_parameters == num_parameters(listed(listing_of(name)))


@pytest.mark.parametrize(
    ("listing", "codes", "samples", "latents"),
    [
        (
            "academicodec_320d",
            [
                [287, 258, 719, 142, 506, 636],
                [636, 640, 558, 558, 1016, 640],
                [999, 767, 470, 456, 634, 728],
                [724, 376, 594, 736, 730, 421],
            ],
            [-0.073459, 0.016572, 0.012207, 0.033994, -0.014467, -0.003758],
            [0.122843, -0.137185, -0.342361, -0.189905],
        ),
        (
            "academicodec_240d",
            [
                [406, 312, 609, 609, 23, 810],
                [350, 502, 678, 843, 678, 843],
                [884, 178, 575, 640, 124, 879],
                [594, 909, 367, 398, 0, 880],
            ],
            [-0.026168, 0.093398, 0.066091, 0.121636, -0.088058, 0.212032],
            [0.211215, -0.038325, 0.084683, 0.233548],
        ),
    ],
)
def test_codes_and_audio_are_those_of_the_original(
    listing: str,
    codes: list[list[int]],
    samples: list[float],
    latents: list[float],
    tmp_path: Path,
) -> None:
    """Pinned from the authors' classes with their channel counts divided, for the same file and the same sweep."""
    codec = codec_of(saved(checkpoint(listing), tmp_path), listing)
    audio = sweep(16000, codec.info.sample_rate_hz)
    encoded = codec.encode(audio)
    assert encoded.streams[0].indices[:, :6].tolist() == codes
    torch.testing.assert_close(codec.latents(audio).values[3, :4], torch.tensor(latents), atol=2e-5, rtol=0)
    decoded = codec.decode(encoded).samples[0, 5000:5006]
    torch.testing.assert_close(decoded, torch.tensor(samples), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("num_samples", "num_frames"), [(97681, 305), (640, 2), (959, 2), (320, 1), (319, 1), (1, 1)]
)
def test_a_last_frame_that_is_not_full_is_dropped(num_samples: int, num_frames: int, folder: Path) -> None:
    """305 frames of 97 681 samples stand in the authors' notebook; less than a frame is made one."""
    codes = codec_of(folder).encode(sweep(num_samples, 16000))
    assert codes.streams[0].num_frames == num_frames


def test_no_frame_is_independent_of_the_end(folder: Path) -> None:
    """The encoder normalizes over time: that is why it declares no context."""
    codec = codec_of(folder)
    assert codec.context is None
    audio = sweep(16000, 16000)
    changed = audio.samples.clone()
    changed[0, -1] += 0.5
    assert not torch.equal(codec.latents(audio).values[0], codec.latents(Audio(changed, 16000)).values[0])


def test_long_audio_is_decoded_in_pieces(folder: Path) -> None:
    codec = codec_of(folder)
    codes = codec.encode(sweep(48000, 16000))
    whole = codec.decode(codes).samples
    longest: list[int] = []
    codec.generator.register_forward_hook(lambda _network, inputs, _output: longest.append(inputs[0].shape[2]))
    codec.chunk_s = 0.6
    torch.testing.assert_close(codec.decode(codes).samples, whole, atol=1e-6, rtol=0)
    reach = codec.generator.reach
    assert len(longest) == 5
    assert max(longest) == 30 + reach.before + reach.after < 150


def test_codes_are_not_all_the_same(folder: Path) -> None:
    indices = codec_of(folder).encode(sweep(16000, 16000)).streams[0].indices
    assert all(len(row.unique()) > 10 for row in indices)


def test_quantized_puts_each_codebook_in_its_group(folder: Path) -> None:
    codec = codec_of(folder)
    codes = codec.encode(sweep(3200, 16000))
    tables = [embedding.weight.detach() for embedding in codec.quantizer.layers]
    rows = codes.streams[0].indices
    half = tables[0].shape[1]
    for codebooks in (slice(None), slice(0, 1), slice(1, 4), slice(2, 4)):
        expected = torch.zeros(rows.shape[1], 2 * half)
        for index in range(4)[codebooks]:
            start = (index % 2) * half
            expected[:, start : start + half] += tables[index][rows[index]]
        torch.testing.assert_close(codec.quantized(codes, codebooks).values, expected)


def without(tensors: dict[str, dict[str, Tensor]], role: str, name: str) -> dict[str, dict[str, Tensor]]:
    return {**tensors, role: {key: value for key, value in tensors[role].items() if key != name}}


def test_wrong_files_are_named(tmp_path: Path) -> None:
    tensors = checkpoint("academicodec_320d")
    saved({"state_dict": tensors["encoder"]}, tmp_path)
    with pytest.raises(
        WeightsError, match="checkpoint: expected tensors under the key 'encoder', found the keys st"
    ):
        codec_of(tmp_path)
    saved(without(tensors, "encoder", "conv_post.bias"), tmp_path)
    with pytest.raises(WeightsError, match=r"expected the tensors of HifiCodecEncoder, found no output_conv\.bias"):
        codec_of(tmp_path)
    saved(without(tensors, "quantizer", "quantizer_modules.0.embedding.weight"), tmp_path)
    with pytest.raises(WeightsError, match=r"checkpoint: expected a tensor layers\.0\.weight, found none"):
        codec_of(tmp_path)
    saved(without(tensors, "encoder", "ups.0.weight_v"), tmp_path)
    with pytest.raises(WeightsError, match=r"found no downsamples\.0\.weight; an unknown downsamples\.0\.weight_g"):
        codec_of(tmp_path)
    flat = {"quantizer_modules.0.embedding.weight": torch.zeros(1024)}
    saved({**tensors, "quantizer": {**tensors["quantizer"], **flat}}, tmp_path)
    with pytest.raises(WeightsError, match=r"layers\.0\.weight with 2 axes, found the shape \[1024\]"):
        codec_of(tmp_path)
    saved({**tensors, "generator": {**tensors["generator"], "extra": torch.zeros(1)}}, tmp_path)
    with pytest.raises(WeightsError, match=r"the tensors of HifiGanGenerator, found an unknown extra"):
        codec_of(tmp_path)
    file = saved(tensors, tmp_path) / "checkpoint"
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match="checkpoint: expected a PyTorch checkpoint, found an unreadable file"):
        codec_of(tmp_path)


def test_the_strides_of_another_model_are_refused(folder: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"downsamples\.1\.weight of shape \[32, 16, 8\] instead of \[32, 16, 7\]"
    ):
        codec_of(folder, "academicodec_240d")
