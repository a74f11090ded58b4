"""AudioDec: the published tensors load, codes and audio are those of the authors' code, and neither looks ahead."""

from pathlib import Path

import pytest
import torch
import yaml
from tiny.audiodec import tensors, write_model
from tiny.listings import listed, num_parameters

from tokbench.audio import Audio
from tokbench.codecs.audiodec import AudioDec, Autoencoder, Sizes, Vocoder, renamed
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly
from tokbench.codecs.registry import list_cards
from tokbench.errors import WeightsError
from tokbench.specs import networks

CARDS = {
    name: card for name, card in list_cards().items() if name.startswith("audiodec-") and not name.endswith("-tiny")
}
BUFFERS = (".pad_buffer", ".cluster_size", ".embed_avg", ".embed", "mean", "scale")


def published_autoencoder(listing: str) -> Autoencoder:
    strides = (2, 4, 5, 8) if listing.endswith("c16") else (3, 4, 5, 5)
    network = networks.AudioDec(kind="audiodec", activated=listing.endswith("symaad"))
    sizes = Sizes(
        encoder=network,
        encoder_strides=strides,
        decoder=network,
        decoder_strides=strides[::-1],
        num_codebooks=16 if listing.endswith("c16") else 8,
    )
    return Autoencoder(sizes)


def published_vocoder(listing: str) -> Vocoder:
    kernel_sizes = {"audiodec_v0": (3, 7, 11), "audiodec_v1": (11,), "audiodec_v2": (3,)}[listing]
    network = networks.HifiGan(
        kind="hifigan",
        block_kernel_sizes=kernel_sizes,
        block_dilations=((1, 3, 5),) * len(kernel_sizes),
        num_groups=1 if len(kernel_sizes) > 1 else 3,
        causal=True,
    )
    return Vocoder(network, dimension=64, strides=(5, 5, 4, 3))


@pytest.mark.parametrize("name", ["symad", "symad_c16", "symaad", "v0", "v1", "v2"])
def test_the_published_tensors_load_strictly(name: str) -> None:
    listing = f"audiodec_{name}"
    with torch.device("meta"):
        values = renamed(fold_weight_norms({key: torch.empty(shape) for key, shape in listed(listing).items()}))
        if name.startswith("v"):
            network: torch.nn.Module = published_vocoder(listing)
            values = {key if key in {"mean", "scale"} else f"network.{key}": value for key, value in values.items()}
        else:
            network = published_autoencoder(listing)
        load_strictly(network, values, Path(listing))


def test_the_parameters_are_as_many_as_published() -> None:
    """The publisher's page About: encoder, decoder, and the vocoders."""
    symad = listed("audiodec_symad")
    counts = {
        part: num_parameters({key: shape for key, shape in symad.items() if key.startswith(part)}, BUFFERS)
        for part in ("encoder", "projector", "decoder")
    }
    assert counts == {"encoder": 3_806_368, "projector": 98_304, "decoder": 4_035_264}
    vocoders = {name: num_parameters(listed(f"audiodec_{name}"), BUFFERS) for name in ("v0", "v1", "v2")}
    assert vocoders == {"v0": 12_932_610, "v1": 19_461_090, "v2": 6_927_330}
    stated = {name: card.num_parameters for name, card in CARDS.items()}
    encoding = 3_806_368 + 98_304
    assert stated == {
        "audiodec-24khz": encoding + 19_461_090,
        "audiodec-48khz": encoding + 19_461_090,
        "audiodec-48khz-univ": encoding + 19_461_090,
        "audiodec-48khz-symaad": num_parameters(listed("audiodec_symaad"), BUFFERS),
        "audiodec-48khz-c16": num_parameters(listed("audiodec_symad_c16"), BUFFERS),
    }


def codec_of(folder: Path, encoder: str, decoder: str) -> AudioDec:
    write_model(folder / "encoder" / "checkpoint.pkl", f"audiodec_{encoder}", 48000)
    write_model(folder / "decoder" / "checkpoint.pkl", f"audiodec_{decoder}", 48000)
    return AudioDec(encoder="encoder/checkpoint.pkl", decoder="decoder/checkpoint.pkl", weights=folder)


def sweep(num_samples: int) -> Audio:
    time = torch.arange(num_samples, dtype=torch.float64)
    samples = 0.3 * torch.sin(2e-6 * time * time + 0.05 * time) * torch.cos(0.001 * time)
    return Audio(samples.float()[None], 48000)


SYMAD = [
    [795, 255, 278],
    [579, 212, 941],
    [1020, 450, 436],
    [938, 579, 771],
    [491, 728, 75],
    [659, 636, 236],
    [309, 102, 965],
    [830, 671, 173],
]
SYMAAD = [
    [162, 909, 320],
    [835, 738, 34],
    [711, 262, 522],
    [897, 21, 901],
    [730, 376, 1020],
    [603, 587, 442],
    [560, 278, 80],
    [698, 504, 615],
]
C16 = [
    [972, 643, 440],
    [394, 608, 944],
    [607, 64, 608],
    [370, 122, 5],
    [599, 422, 951],
    [309, 974, 665],
    [924, 896, 646],
    [406, 939, 951],
]


@pytest.mark.parametrize(
    ("encoder", "decoder", "codes", "samples"),
    [
        ("symad", "symad", SYMAD, [-0.23204, -0.664485, -0.104605, 0.787874, 0.394768]),
        ("symad", "v0", SYMAD, [0.087671, 0.000642, 0.185378, 0.220127, -0.197384]),
        ("symad", "v1", SYMAD, [0.100033, -0.365531, 0.891334, -0.672455, 0.24937]),
        ("symad", "v2", SYMAD, [0.154374, 0.287642, -0.378977, -0.024801, -0.146256]),
        ("symaad", "symaad", SYMAAD, [0.999996, -0.374009, 0.999999, 0.999961, -0.645078]),
        ("symad_c16", "symad_c16", C16, [-2.604052, 1.640694, -1.544576, 3.245417, -2.347263]),
    ],
)
def test_codes_and_audio_are_those_of_the_original(
    encoder: str, decoder: str, codes: list[list[int]], samples: list[float], tmp_path: Path
) -> None:
    """Pinned from the authors' classes, with the same small configurations and tensors, for the same sweep."""
    codec = codec_of(tmp_path, encoder, decoder)
    encoded = codec.encode(sweep(16000))
    assert encoded.streams[0].indices[:8, :3].tolist() == codes
    decoded = codec.decode(encoded).samples[0, 5000:5005]
    torch.testing.assert_close(decoded, torch.tensor(samples), atol=1e-4, rtol=0)


def test_latents_are_those_of_the_original(tmp_path: Path) -> None:
    latents = codec_of(tmp_path, "symad", "symad").latents(sweep(16000)).values
    expected = torch.tensor([0.792749, -0.167808, 0.414589, 0.217065])
    torch.testing.assert_close(latents[3, :4], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("decoder", ["symad", "v0", "v1", "v2"])
@torch.no_grad()
def test_nothing_before_a_change_differs(decoder: str, tmp_path: Path) -> None:
    """Strict causality, in double precision: what comes before is the same to the last bit."""
    codec = codec_of(tmp_path, "symad", decoder)
    encoder, network = codec.encoder.double(), codec.decoder.double()
    samples = sweep(9000).samples[None].double()
    latents = encoder(samples)
    for time in (0, 2999, 3000, 3001):
        changed = samples.clone()
        changed[..., time] += 0.5
        differs = (encoder(changed) != latents).any(dim=1)[0].nonzero()[:, 0]
        # A frame looks at its own first sample and at nothing later.
        assert int(differs.min()) == -(-time // 300)
    audio = network(latents)
    for frame in (1, 10):
        moved = latents.clone()
        moved[..., frame] += 1.0
        assert int((network(moved) != audio)[0, 0].nonzero().min()) == 300 * frame


@pytest.mark.parametrize(
    ("encoder", "decoder", "before"),
    [
        ("symad", "symad", (25, 28)),
        ("symad", "v0", (25, 38)),
        ("symad", "v1", (25, 38)),
        ("symad", "v2", (25, 14)),
        ("symad_c16", "symad_c16", (17, 20)),
    ],
)
@torch.no_grad()
def test_the_context_is_what_frames_and_samples_depend_on(
    encoder: str, decoder: str, before: tuple[int, int], tmp_path: Path
) -> None:
    """Not a frame more, nor less: the last one that a changed sample or frame can reach is reached."""
    codec = codec_of(tmp_path, encoder, decoder)
    assert codec.context is not None
    assert (codec.context.encode_before, codec.context.decode_before) == before
    hop = codec._hop_length
    network, decode = codec.encoder.double(), codec.decoder.double()
    samples = torch.randn(1, 1, 60 * hop, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    changed = samples.clone()
    start = 10 * hop
    changed[..., start : start + hop] += 0.5
    differs = (network(changed) != network(samples)).any(dim=1)[0].nonzero()[:, 0]
    assert int(differs.max()) == 10 + before[0]
    latents = network(samples)
    moved = latents.clone()
    moved[..., 5] += 1.0
    differs = (decode(moved) != decode(latents))[0, 0].nonzero()[:, 0]
    assert int(differs.max()) // hop == 5 + before[1]


def test_the_reach_of_the_encoder_is_the_published_one() -> None:
    """The publisher's demonstration gives the receptive field of this model as 7209 samples, its own included."""
    with torch.device("meta"):
        assert published_autoencoder("audiodec_symad").encoder.reach == 7209 - 1


def test_quantized_is_the_sum_of_the_chosen_codebooks(tmp_path: Path) -> None:
    codec = codec_of(tmp_path, "symad", "symad")
    codes = codec.encode(sweep(3000))
    rows = codes.streams[0].indices
    state = tensors("audiodec_symad")
    tables = [state[f"quantizer.codebook.layers.{index}.embed"].T for index in range(8)]
    for codebooks in (slice(None), slice(0, 1), slice(2, 5)):
        expected = sum(table[row] for table, row in list(zip(tables, rows, strict=True))[codebooks])
        torch.testing.assert_close(codec.quantized(codes, codebooks).values, expected)


def test_it_has_as_many_frames_as_begin_within_the_audio(tmp_path: Path) -> None:
    codec = codec_of(tmp_path, "symad", "symad")
    counts = [codec.encode(sweep(n)).streams[0].num_frames for n in (1, 300, 301, 600, 3000)]
    assert counts == [1, 1, 2, 2, 10]


def test_wrong_files_are_named(tmp_path: Path) -> None:
    codec_of(tmp_path, "symad", "v1")
    encoder, decoder = "encoder/checkpoint.pkl", "decoder/checkpoint.pkl"
    with pytest.raises(WeightsError, match=r"decoder/config\.yml: expected a value of generator_params\.encode_ch"):
        AudioDec(encoder=decoder, decoder=encoder, weights=tmp_path)
    state = tensors("audiodec_v1")
    del state["output_conv.conv.bias"]
    torch.save({"model": {"generator": state}}, tmp_path / decoder)
    with pytest.raises(WeightsError, match=r"checkpoint\.pkl: expected the tensors of Vocoder, found no network"):
        AudioDec(encoder=encoder, decoder=decoder, weights=tmp_path)
    torch.save({"model": state}, tmp_path / decoder)
    with pytest.raises(WeightsError, match=r"expected tensors under the key 'model\.generator'"):
        AudioDec(encoder=encoder, decoder=decoder, weights=tmp_path)
    (tmp_path / encoder).write_bytes((tmp_path / encoder).read_bytes()[:-3000])
    with pytest.raises(
        WeightsError, match=r"encoder/checkpoint\.pkl: expected a PyTorch checkpoint, found an unread"
    ):
        AudioDec(encoder=encoder, decoder=decoder, weights=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling_rate": 24000}, "expected sampling_rate 48000, found 24000"),
        ({"model_type": "WaveNet"}, "expected a model_type among symAudioDec, .*, found 'WaveNet'"),
        ({"generator_params": {"in_channels": 80}}, r"expected generator_params\.in_channels 64, found 80"),
        ({"generator_params": {"kernel_size": 9}}, r"expected generator_params\.kernel_size 7, found 9"),
        (
            {"generator_params": {"resblock_dilations": 3}},
            r"expected generator_params\.resblock_dilations, found 3",
        ),
        ({"generator_params": {"upsample_scales": [5, 5, 4, 4]}}, "make 300 samples of a frame, found"),
    ],
)
def test_a_decoder_that_does_not_go_with_the_encoder_is_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    codec_of(tmp_path, "symad", "v1")
    file = tmp_path / "decoder" / "config.yml"
    config = yaml.safe_load(file.read_text())
    parameters = change.get("generator_params", {})
    assert isinstance(parameters, dict)
    config = {**config, **change, "generator_params": {**config["generator_params"], **parameters}}
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(WeightsError, match=rf"config\.yml: {message}" if "make" not in message else message):
        AudioDec(encoder="encoder/checkpoint.pkl", decoder="decoder/checkpoint.pkl", weights=tmp_path)


def test_a_configuration_with_code_in_it_is_refused(tmp_path: Path) -> None:
    codec_of(tmp_path, "symad", "symad")
    file = tmp_path / "encoder" / "config.yml"
    file.write_text("sampling_rate: !!python/object/apply:os.getpid []\n")
    with pytest.raises(
        WeightsError, match=r"config\.yml: expected a YAML file, found could not determine a constr"
    ):
        AudioDec(encoder="encoder/checkpoint.pkl", decoder="decoder/checkpoint.pkl", weights=tmp_path)
