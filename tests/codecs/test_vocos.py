"""Vocos over EnCodec, against the package called directly, with small random weights."""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

import encodec
import numpy as np
import pytest
import torch
import yaml
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer
from same_codes import expect_same_codes, holding
from tiny import vocos as tiny_vocos
from tiny.encodec import draw_codebooks
from vocos import Vocos as Original
from vocos.feature_extractors import EncodecFeatures

from tokbench.audio import Audio
from tokbench.codecs.registry import expand, load, one
from tokbench.codecs.vocos import Vocos
from tokbench.errors import WeightsError
from tokbench.testing import run_checks

BANDWIDTHS_KBPS = {"1.5kbps": 1.5, "3kbps": 3.0, "6kbps": 6.0, "12kbps": 12.0}


@dataclass
class Saved:
    """A model of the package with the folder that holds it, and in it EnCodec in its publisher's format."""

    original: Original
    folder: Path

    def codec(self, setting: str) -> Vocos:
        loaded = load(one(f"vocos-encodec:{setting}"), weights=self.folder)
        assert isinstance(loaded, Vocos)
        return loaded


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("vocos")
    network = published_encodec()
    (folder / "encodec_24khz").mkdir()
    torch.save(network.state_dict(), folder / "encodec_24khz" / "encodec_24khz-d7cc33bc.th")
    with pytest.MonkeyPatch.context() as patch:
        # The package would download it.
        patch.setattr(encodec.EncodecModel, "encodec_model_24khz", lambda pretrained: network)  # noqa: ARG005
        original = Original(EncodecFeatures(), *tiny_vocos.parts()).eval()
    tiny_vocos.save(folder, original.feature_extractor.codebook_weights.detach())
    return Saved(original, folder)


def published_encodec() -> encodec.EncodecModel:
    torch.manual_seed(1)
    sizes = {"n_filters": 4, "dimension": tiny_vocos.DIMENSION, "norm": "weight_norm", "causal": True, "lstm": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses the first interface of weight_norm
        encoder, decoder = SEANetEncoder(**sizes), SEANetDecoder(**sizes)
    quantizer = ResidualVectorQuantizer(dimension=tiny_vocos.DIMENSION, n_q=32, bins=1024)
    made = encodec.EncodecModel(encoder, decoder, quantizer, [1.5, 3.0, 6.0, 12.0, 24.0], 24000, 1).eval()
    with torch.inference_mode():
        latents = made.encoder(torch.logspace(-3, 0, 24000) * torch.randn(1, 1, 24000))[0].T
    draw_codebooks([layer._codebook.embed for layer in quantizer.vq.layers], latents)
    return made


@pytest.fixture
def voice(voice_16khz: np.ndarray) -> Audio:
    return Audio.from_numpy(voice_16khz, 16000).resample(24000)


@pytest.mark.parametrize("setting", BANDWIDTHS_KBPS)
@pytest.mark.parametrize("num_samples", [48000, 12345, 320, 1])
def test_codes_and_audio_equal_those_of_the_original(
    setting: str, num_samples: int, saved: Saved, voice: Audio
) -> None:
    audio = Audio(voice.samples[:, :num_samples], 24000)
    codec = saved.codec(setting)
    codes = codec.encode(audio)
    index = list(BANDWIDTHS_KBPS).index(setting)
    extractor = saved.original.feature_extractor
    extractor.encodec.set_target_bandwidth(BANDWIDTHS_KBPS[setting])
    with torch.inference_mode():
        indices = extractor.get_encodec_codes(audio.samples)[:, 0]
        expect_same_codes(codes.streams[0].indices, indices)
        decoded = saved.original(audio.samples, bandwidth_id=torch.tensor([index]))[:, :num_samples]
    assert codes.bitrate_bps == 1000 * BANDWIDTHS_KBPS[setting]
    torch.testing.assert_close(codec.decode(holding(codes, indices)).samples, decoded, atol=1e-5, rtol=0)


def test_the_bandwidth_conditions_the_decoder(saved: Saved, voice: Audio) -> None:
    """The comparison of settings would mean little if the random model did not hear the bandwidth."""
    codec = saved.codec("1.5kbps")
    codes = codec.encode(voice)
    first = codec.decode(codes).samples
    codec._condition = 3
    assert float((codec.decode(codes).samples - first).abs().max()) > 0.01 * float(first.abs().max())


def test_decoding_in_pieces_gives_what_the_whole_gives(saved: Saved, voice: Audio) -> None:
    whole = saved.codec("6kbps")
    pieces = copy.copy(whole)
    whole.chunk_s, pieces.chunk_s = 100.0, 0.1
    codes = whole.encode(Audio(voice.samples.repeat(1, 2), 24000))
    expected = whole.decode(codes).samples
    torch.testing.assert_close(pieces.decode(codes).samples, expected, atol=1e-5, rtol=0)


def test_the_decoder_sees_no_further_than_it_says(saved: Saved) -> None:
    decoder = saved.codec("6kbps").decoder.double()  # what comes from the farthest frames is small
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(1024, (8, 120), generator=generator)
    changed = codes.clone()
    changed[:, 60] = (changed[:, 60] + 1) % 1024
    with torch.inference_mode():
        differs = (decoder(codes, 0) != decoder(changed, 0))[0].nonzero()[:, 0] // 320
    assert int(differs.min()) == 60 - decoder.reach
    assert int(differs.max()) == 60 + decoder.reach


def test_quantized_is_the_sum_of_the_chosen_codebooks(saved: Saved, voice: Audio) -> None:
    codec = saved.codec("3kbps")
    codes = codec.encode(voice)
    features = saved.original.codes_to_features(codes.streams[0].indices)[0].T
    torch.testing.assert_close(codec.quantized(codes).values, features)
    tables = saved.original.feature_extractor.codebook_weights
    rows = codes.streams[0].indices
    for frame in range(3):
        expected = tables[1024 + rows[1, frame]] + tables[2048 + rows[2, frame]]
        torch.testing.assert_close(codec.quantized(codes, slice(1, 3)).values[frame], expected)


def test_every_setting_has_the_bitrate_of_its_name(saved: Saved) -> None:
    for reference in expand("vocos-encodec:all"):
        info = load(reference, weights=saved.folder).info
        assert info.bitrate_bps == 1000 * BANDWIDTHS_KBPS[info.setting]


def test_it_conforms(saved: Saved) -> None:
    results = run_checks("vocos-encodec:6kbps", weights=saved.folder, long_input_s=35.0)
    assert [result for result in results if result.status != "passed"] == []


def copied(saved: Saved, to: Path) -> Path:
    for name in ("config.yaml", "pytorch_model.bin"):
        (to / name).write_bytes((saved.folder / name).read_bytes())
    return to


def vocos(saved: Saved, weights: Path) -> Vocos:
    return Vocos(num_codebooks=8, weights=weights, encodec=saved.folder / "encodec_24khz")


def test_a_class_that_the_file_names_is_not_looked_up(saved: Saved, tmp_path: Path) -> None:
    file = copied(saved, tmp_path) / "config.yaml"
    values = yaml.safe_load(file.read_text())
    values["head"]["class_path"] = "os.system"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(WeightsError, match=r"config\.yaml: expected head\.class_path 'vocos.* found 'os\.system'"):
        vocos(saved, tmp_path)


def test_a_tag_of_yaml_is_not_obeyed(saved: Saved, tmp_path: Path) -> None:
    file = copied(saved, tmp_path) / "config.yaml"
    file.write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(WeightsError, match=r"config\.yaml: expected a YAML file"):
        vocos(saved, tmp_path)


def test_a_bandwidth_that_it_was_not_trained_for_is_refused(saved: Saved) -> None:
    with pytest.raises(WeightsError, match=r"expected .*bandwidths with 4\.5, found \[1\.5, 3\.0, 6\.0, 12\.0\]"):
        Vocos(num_codebooks=6, weights=saved.folder, encodec=saved.folder / "encodec_24khz")


def test_codebooks_of_another_encodec_are_refused(saved: Saved, tmp_path: Path) -> None:
    tiny_vocos.save(tmp_path, torch.zeros(16 * 1024, tiny_vocos.DIMENSION + 1))
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: expected .* 8 or more codebooks of 1024 x 16 as"):
        vocos(saved, tmp_path)


def test_a_missing_tensor_is_named(saved: Saved, tmp_path: Path) -> None:
    file = copied(saved, tmp_path) / "pytorch_model.bin"
    tensors = torch.load(file, weights_only=True)
    del tensors["head.out.bias"]
    torch.save(tensors, file)
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: expected .* found no head\.out\.bias"):
        vocos(saved, tmp_path)


def test_a_truncated_file_is_named(saved: Saved, tmp_path: Path) -> None:
    file = copied(saved, tmp_path) / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: expected a PyTorch checkpoint"):
        vocos(saved, tmp_path)
