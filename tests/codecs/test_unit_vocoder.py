"""The unit vocoder against the one of transformers, and speech that goes through units and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import references, unit_vocoder
from transformers.models.seamless_m4t.configuration_seamless_m4t import SeamlessM4TConfig
from transformers.models.seamless_m4t.modeling_seamless_m4t import SeamlessM4THifiGan

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.frozen import registered_units
from tokbench.codecs.registry import list_cards, load
from tokbench.codecs.unit_vocoder import SslResynthesis, load_vocoder
from tokbench.errors import UsageError, WeightsError
from tokbench.models.unit_hifigan import UnitHifiGan

CARD = list_cards()["hubert-base-units-resynth"]
UNITS = torch.tensor([5, 5, 17, 99, 0, 3, 3, 3, 42])


def saved(folder: Path, **changes: Any) -> tuple[UnitHifiGan, Path, Path]:
    path, config = folder / "g_00500000", folder / "config.json"
    return unit_vocoder.save_vocoder(path, config, {**unit_vocoder.CONFIG, **changes}), path, config


@torch.inference_mode()
def reference(network: UnitHifiGan, embedded: torch.Tensor) -> torch.Tensor:
    """Return [1, T] of embeddings [F, D] by the HiFi-GAN that transformers has for SeamlessM4T's units."""
    config = unit_vocoder.CONFIG
    names = ("upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes", "resblock_dilation_sizes")
    original = SeamlessM4THifiGan(
        SeamlessM4TConfig(
            unit_embed_dim=embedded.shape[1],
            lang_embed_dim=0,
            spkr_embed_dim=0,
            upsample_initial_channel=config["upsample_initial_channel"],
            leaky_relu_slope=0.1,
            **{name: config[name] for name in names},
        )
    ).eval()
    published = unit_vocoder.published(network)
    tensors = {name.replace("ups.", "upsampler."): tensor for name, tensor in published.items()}
    original.load_state_dict({name: tensor for name, tensor in tensors.items() if name in original.state_dict()})
    assert len(original.state_dict()) == len([name for name in tensors if name.split(".")[0] in dir(original)])
    return original(embedded.T[None])


def test_the_waveform_equals_that_of_transformers(tmp_path: Path) -> None:
    """Weight normalisation is folded, the duration predictor left out, and the network is the original one."""
    network, path, config = saved(tmp_path)
    loaded = load_vocoder(path, config)
    with torch.inference_mode():
        actual = loaded(UNITS)
        expected = reference(network, network.dict(UNITS))
    assert actual.shape == (1, 320 * len(UNITS))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert actual.std() > 1e-3


def test_speaker_and_style_stand_beside_each_unit(tmp_path: Path) -> None:
    network, path, config = saved(
        tmp_path, multispkr="from_input_file", multistyle="from_input_file", model_in_dim=24
    )
    loaded = load_vocoder(path, config)
    assert network.spkr is not None
    assert network.style is not None
    with torch.inference_mode():
        actual = loaded(UNITS, speaker=7, style=2)
        voice = torch.cat([network.spkr.weight[7], network.style.weight[2]]).expand(len(UNITS), -1)
        expected = reference(network, torch.cat([network.dict(UNITS), voice], dim=1))
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
        assert (loaded(UNITS, speaker=8, style=2) - actual).abs().max() > 1e-4
        assert (loaded(UNITS, speaker=7, style=3) - actual).abs().max() > 1e-4


@pytest.fixture
def weights(tokbench_home: Path) -> Path:
    unit_vocoder.write(CARD, tokbench_home / "weights")
    return tokbench_home / "weights"


def tokenizer(setting: str) -> SslResynthesis:
    codec = load(next(reference for reference in references(CARD) if reference.setting == setting))
    assert isinstance(codec, SslResynthesis)
    return codec


@pytest.mark.parametrize("num_samples", [1, 319, 16000, 16001, 20079])
@pytest.mark.usefixtures("weights")
def test_speech_comes_back_at_its_length(num_samples: int, voice_16khz: np.ndarray) -> None:
    codec = tokenizer("l6-km100")
    assert isinstance(codec, Codec)
    audio = Audio.from_numpy(voice_16khz[:num_samples], 16000)
    codes = codec.encode(audio)
    decoded = codec.decode(codes)
    assert decoded.num_samples == num_samples
    with torch.inference_mode():
        made = codec.vocoder(codes.streams[0].indices[0])
    length = min(num_samples, made.shape[1])
    torch.testing.assert_close(decoded.samples[:, :length], made[:, :length])
    # What is missing of the last frame is silence, less than a frame of it.
    assert num_samples - length <= 320
    assert not decoded.samples[:, length:].any()


@pytest.mark.usefixtures("weights")
def test_its_units_are_those_of_the_card_without_a_vocoder(voice_16khz: np.ndarray) -> None:
    audio = Audio.from_numpy(voice_16khz, 16000)
    units = list_cards()["hubert-base-units"]
    plain = load(next(reference for reference in references(units) if reference.setting == "l9-km500"))
    expected, actual = plain.encode(audio), tokenizer("l9-km500").encode(audio)
    assert torch.equal(actual.streams[0].indices, expected.streams[0].indices)
    assert len(actual.streams[0].indices.unique()) > 5


def test_each_setting_takes_the_units_of_the_plain_card() -> None:
    for name in ("hubert-base-units", "mhubert-units", "mhubert-25hz-units"):
        plain, spoken = list_cards()[name], list_cards()[f"{name}-resynth"]
        for setting, arguments in spoken.settings.items():
            assert plain.settings[setting].items() <= arguments.items()
            assert plain.parts["model"] == spoken.parts["model"]
            assert plain.bitrate_bps[setting] == spoken.bitrate_bps[setting]
            own = plain.parts["centroids"].by_setting[setting]
            assert spoken.parts["centroids"].by_setting[setting] == own


def test_a_vocoder_of_other_units_is_refused(weights: Path) -> None:
    config = {**unit_vocoder.CONFIG, "num_embeddings": 50}
    place = weights / "unit-hifigan" / "hubert_base_100_lj"
    unit_vocoder.save_vocoder(place / "g_00500000", place / "config.json", config)
    with pytest.raises(WeightsError, match=r"config\.json: expected 100 units of 320 .* found 50 units of 320"):
        tokenizer("l6-km100")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"f0": True},
            "expected the configuration of a HiFi-GAN over units, without F0 .* found f0 True, resblock '1'",
        ),
        ({"resblock": "2"}, "found f0 False, resblock '2'"),
        ({"upsample_rates": None}, r"config\.json: .* found upsample_rates: input should be"),
        ({"upsample_rates": [320]}, r"config\.json: .* found zip\(\) argument 2 is longer"),
        ({"embedding_dim": "many"}, r"config\.json: .* found embedding_dim: .*found 'many'"),
    ],
)
def test_another_kind_of_vocoder_is_named(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    _, path, config = saved(tmp_path)
    config.write_text(json.dumps({**unit_vocoder.CONFIG, **changes}))
    with pytest.raises(WeightsError, match=problem):
        load_vocoder(path, config)


def test_missing_keys_and_tensors_are_named(tmp_path: Path) -> None:
    _, path, config = saved(tmp_path)
    tensors = torch.load(path, weights_only=True)["generator"]
    tensors.pop("conv_post.bias")
    torch.save({"generator": tensors}, path)
    with pytest.raises(
        WeightsError, match=r"g_00500000: expected the tensors of .* found no generator\.output_conv\.bias"
    ):
        load_vocoder(path, config)
    torch.save(tensors, path)
    with pytest.raises(WeightsError, match="expected tensors under the key 'generator'"):
        load_vocoder(path, config)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"g_00500000: expected a PyTorch checkpoint"):
        load_vocoder(path, config)
    config.write_text("{}")
    with pytest.raises(WeightsError, match=r"config\.json: expected the configuration .* found f0 None"):
        load_vocoder(path, config)


def test_a_folder_of_weights_names_no_code_for_its_units(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'it ran')!r}).touch()\n")
    with pytest.raises(UsageError, match=r"evil\.py:E is code, which a folder of weights may not name"):
        registered_units(["nobody", f"{tmp_path / 'evil.py'}:E"])
    assert not (tmp_path / "it ran").exists()
