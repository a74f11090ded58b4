"""FunCodec, against what the publisher's code makes of the same weights, and against its lists of tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny.formula import signal
from tiny.funcodec import VARIANTS, described, save
from tiny.listings import listed, num_parameters

from tokbench.audio import Audio
from tokbench.codecs.checkpoints import fold_weight_norms
from tokbench.codecs.configs import ModelConfig
from tokbench.codecs.funcodec import FunCodec, FunCodecNetwork, rename
from tokbench.codecs.funcodec_config import read_config
from tokbench.codecs.registry import list_cards
from tokbench.errors import WeightsError

BUFFERS = ("inited", "cluster_size", "embed", "embed_avg", "window")
ADVERSARIES = 283_398
"""Parameters of the discriminators, which the published count of the 25 Hz model has in it."""


@pytest.fixture(params=VARIANTS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    save(tmp_path / request.param, described(request.param))
    return tmp_path / request.param


def audio(num_samples: int = 9000) -> Audio:
    return Audio(signal(num_samples)[None], 16000)


def test_codes_latents_and_audio_equal_those_of_the_original(folder: Path) -> None:
    expected = described(folder.name)
    codec = FunCodec(num_codebooks=32, weights=folder)
    codes = codec.encode(audio())
    # Further codebooks are so fine that another processor's rounding may choose otherwise.
    assert codes.streams[0].indices[:8].tolist() == expected["codes"]
    assert all(len(set(row)) > 8 for row in expected["codes"])
    latents = codec.latents(audio()).values[5]
    torch.testing.assert_close(latents, torch.tensor(expected["latents"]), atol=5e-6, rtol=1e-5)
    decoded = codec.decode(codes).samples[0, ::500]
    loudest = float(decoded.abs().max())
    torch.testing.assert_close(decoded / loudest, torch.tensor(expected["audio"]) / loudest, atol=1e-3, rtol=0)


def test_four_codebooks_decode_as_the_original_does(folder: Path) -> None:
    codec = FunCodec(num_codebooks=4, weights=folder)
    decoded = codec.decode(codec.encode(audio())).samples[0, ::500]
    torch.testing.assert_close(decoded, torch.tensor(described(folder.name)["audio_of_4"]), atol=5e-6, rtol=1e-4)


def test_the_second_stream_is_the_loudness(folder: Path) -> None:
    codec = FunCodec(num_codebooks=2, weights=folder)
    codes = codec.encode(audio())
    scale = codes.streams[1].indices
    assert scale.shape == (4, 1)
    packed = bytes(scale[:, 0].tolist())
    value = torch.frombuffer(bytearray(packed[::-1]), dtype=torch.float32).item()
    assert value == pytest.approx(described(folder.name)["scale"], rel=1e-6)
    assert codes.bitrate_bps == pytest.approx(20 * codec.info.streams[0].frame_rate_hz + 32 / (9000 / 16000))


def test_codes_do_not_depend_on_loudness_and_audio_has_it_again(folder: Path) -> None:
    codec = FunCodec(num_codebooks=4, weights=folder)
    loud = audio()
    quiet = Audio(loud.samples / 64, 16000)
    codes = codec.encode(loud), codec.encode(quiet)
    assert torch.equal(codes[0].streams[0].indices, codes[1].streams[0].indices)
    first, second = (codec.decode(one).samples for one in codes)
    torch.testing.assert_close(first / 64, second, atol=1e-6, rtol=1e-5)


def test_quantized_is_the_sum_of_the_chosen_codebooks(folder: Path) -> None:
    codec = FunCodec(num_codebooks=4, weights=folder)
    codes = codec.encode(audio())
    tables = [layer.embed for layer in codec.model.quantizer.layers]
    for chosen in (slice(None), slice(0, 1), slice(1, 3)):
        rows = list(zip(tables, codes.streams[0].indices, strict=False))[chosen]
        expected = sum(table[indices] for table, indices in rows)
        torch.testing.assert_close(codec.quantized(codes, chosen).values, expected)


@pytest.mark.parametrize("variant", ["ds320", "ds640", "gr1"])
def test_the_published_sizes_have_the_published_tensors(variant: str) -> None:
    """Names and shapes alone: on the meta device nothing is computed."""
    shapes = listed(f"funcodec_{variant}")
    values: dict[str, Any] = described(variant)["config"]
    for part in ("encoder_conf", "decoder_conf"):
        values[part] = {k: v for k, v in values[part].items() if k not in {"n_filters", "dimension"}}
        if variant == "gr1":
            values[part]["n_residual_layers"] = 3
    with torch.device("meta"):
        network = FunCodecNetwork(read_config(ModelConfig(Path("config.yaml"), values)))
        tensors = rename(fold_weight_norms({name: torch.empty(shape) for name, shape in shapes.items()}))
    assert {name: value.shape for name, value in tensors.items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    counts = {
        c.num_parameters for c in list_cards().values() if c.name.startswith("funcodec") and variant in c.name
    }
    assert num_parameters(shapes, BUFFERS) in counts


def test_the_counts_are_those_that_are_published() -> None:
    """README of the publisher: 14.85 M and 0.52 M without normalizations, 57.83 M with the discriminators."""
    without = {
        variant: num_parameters(
            {k: v for k, v in listed(f"funcodec_{variant}").items() if ".norm." not in k}, BUFFERS
        )
        for variant in ("ds320", "gr1")
    }
    assert {variant: f"{count / 1e6:.2f}" for variant, count in without.items()} == {
        "ds320": "14.85",
        "gr1": "0.52",
    }
    assert f"{(num_parameters(listed('funcodec_ds640'), BUFFERS) + ADVERSARIES) / 1e6:.2f}" == "57.83"


def test_every_setting_has_the_number_of_codebooks_of_its_name() -> None:
    for card in list_cards().values():
        if card.adapter.endswith(":FunCodec"):
            counts = {name: setting["num_codebooks"] for name, setting in card.settings.items()}
            assert counts == {f"{count}x1024": count for count in (1, 2, 4, 8, 16, 32)}


@pytest.mark.parametrize("num_samples", [1, 159, 160, 257, 319, 320, 321, 640, 641])
def test_short_audio_is_coded(num_samples: int, folder: Path) -> None:
    codec = FunCodec(num_codebooks=2, weights=folder)
    codes = codec.encode(audio(num_samples))
    assert codec.decode(codes).num_samples == num_samples


def test_silence_stays_silent(folder: Path) -> None:
    codec = FunCodec(num_codebooks=2, weights=folder)
    decoded = codec.decode(codec.encode(Audio(torch.zeros(1, 3200), 16000)))
    assert float(decoded.samples.abs().max()) < 1e-6


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("variant", "change", "message"),
    [
        ("ds320", lambda c: c.update(model="laura"), r"config\.yaml: expected model 'encodec', found 'laura'"),
        ("ds320", lambda c: c.update(encoder="ecapa"), r"expected encoder 'encodec_seanet_encoder', found 'ecapa'"),
        (
            "ds320",
            lambda c: c["model_conf"].update(segment_dur=1.0),
            r"expected model_conf\.segment_dur None, found 1",
        ),
        (
            "ds320",
            lambda c: c["model_conf"].pop("segment_dur"),
            r"expected model_conf\.segment_dur None, found 1\.0",
        ),
        ("ds320", lambda c: c["model_conf"].update(audio_normalize=False), r"audio_normalize True, found False"),
        ("ds320", lambda c: c["quantizer_conf"].update(codec_dim=8), r"quantizer_conf\.codec_dim None, found 8"),
        ("ds320", lambda c: c["encoder_conf"].update(ratios=[8, 5, 4]), r"encoder_hop_length 160, found 320"),
        ("ds320", lambda c: c["encoder_conf"].update(norm="batch"), r"encoder_conf\.norm .* found batch"),
        (
            "ds320",
            lambda c: c["encoder_conf"].update(seq_model="transformer"),
            r"seq_model lstm or none, found 'tra",
        ),
        (
            "ds320",
            lambda c: c["encoder_conf"].update(future=1),
            r"expected nothing called encoder_conf\.future, found 1",
        ),
        ("ds320", lambda c: c["decoder_conf"].update(true_skip=True), r"decoder_conf\.true_skip False, found True"),
        (
            "ds320",
            lambda c: c["decoder_conf"].update(n_filters=8),
            r"model\.pth: expected the tensors of FunCodecNetw",
        ),
        (
            "ds320",
            lambda c: c["quantizer_conf"].update(num_quantizers=33),
            r"model\.pth: .*no quantizer\.layers\.32",
        ),
        ("gr1", lambda c: c["model_conf"].update(codec_domain=["stft", "stft"]), r"codec_domain \['mag_phase'"),
        ("gr1", lambda c: c["model_conf"].pop("audio_normalize"), r"audio_normalize True, found False"),
        ("gr1", lambda c: c["encoder_conf"].update(ratios=[4, 4]), r"encoder_conf\.ratios as pairs of integers"),
        ("gr1", lambda c: c["encoder_conf"].update(causal=True), r"encoder_conf\.causal False, found True"),
        ("gr1", lambda c: c["encoder_conf"].update(conv_group_ratio=-1), r"model\.pth: .*instead of"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(
    variant: str, change: Change, message: str, tmp_path: Path
) -> None:
    values = described(variant)
    change(values["config"])
    save(tmp_path, values)
    with pytest.raises(WeightsError, match=message):
        FunCodec(num_codebooks=32, weights=tmp_path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    save(tmp_path, described("gr1"))
    file = tmp_path / "model.pth"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"model\.pth: expected a PyTorch checkpoint, found"):
        FunCodec(num_codebooks=1, weights=tmp_path)


def test_more_codebooks_than_the_model_has_are_refused(tmp_path: Path) -> None:
    save(tmp_path, described("ds320"))
    with pytest.raises(WeightsError, match=r"config\.yaml: expected 64 codebooks .* found 32"):
        FunCodec(num_codebooks=64, weights=tmp_path)


def test_tags_in_a_configuration_are_not_obeyed(tmp_path: Path) -> None:
    save(tmp_path, described("ds320"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({}) + "model: !!python/name:os.system")
    with pytest.raises(WeightsError, match=r"config\.yaml: expected a YAML file"):
        FunCodec(num_codebooks=1, weights=tmp_path)
