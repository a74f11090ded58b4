"""WavTokenizer, against what the publisher's code makes of the same weights, and against its list of tensors."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from same_codes import expect_same_codes
from tiny.formula import signal
from tiny.listings import listed, num_parameters
from tiny.wavtokenizer import described, save

from tokbench.audio import Audio
from tokbench.codecs.checkpoints import fold_weight_norms
from tokbench.codecs.configs import ModelConfig
from tokbench.codecs.registry import list_cards
from tokbench.codecs.seanet_pieces import encoder_reach
from tokbench.codecs.wavtokenizer import WavTokenizer, WavTokenizerNetwork, rename
from tokbench.errors import WeightsError
from tokbench.models.seanet import SeanetEncoder
from tokbench.specs.networks import Seanet

CHECKPOINT, CONFIG = "model.ckpt", "model.yaml"
HOPS = (600, 320)
PUBLISHED = {
    "feature_extractor": {"num_quantizers": 1, "vq_bins": 4096},
    "backbone": {
        "input_channels": 512,
        "dim": 768,
        "intermediate_dim": 2304,
        "num_layers": 12,
        "adanorm_num_embeddings": 4,
    },
    "head": {"dim": 768},
}
"""Of the published configurations, which differ in strides and the hop of the spectrogram alone."""


def make(folder: Path) -> WavTokenizer:
    return WavTokenizer(num_codebooks=1, weights=folder, checkpoint=CHECKPOINT, config=CONFIG)


@pytest.fixture(params=HOPS)
def described_and_loaded(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], WavTokenizer]:
    values = described(request.param)
    save(tmp_path / CHECKPOINT, tmp_path / CONFIG, values)
    return values, make(tmp_path)


def test_codes_latents_and_audio_equal_those_of_the_original(
    described_and_loaded: tuple[dict[str, Any], WavTokenizer],
) -> None:
    expected, codec = described_and_loaded
    audio = Audio(signal(9000)[None], 24000)
    codes = codec.encode(audio)
    assert codes.streams[0].indices[0].tolist() == expected["codes"]
    assert len(set(expected["codes"])) > 10
    latents = codec.latents(audio).values[3]
    torch.testing.assert_close(latents, torch.tensor(expected["latents"]), atol=2e-6, rtol=1e-5)
    decoded = codec.decode(codes).samples[0, ::500]
    torch.testing.assert_close(decoded, torch.tensor(expected["audio"])[: len(decoded)], atol=1e-5, rtol=0)
    assert float(decoded.std()) > 0.01


def test_quantized_is_the_vector_of_each_code(
    described_and_loaded: tuple[dict[str, Any], WavTokenizer],
) -> None:
    _, codec = described_and_loaded
    codes = codec.encode(Audio(signal(9000)[None], 24000))
    table = codec.model.quantizer.layers[0].embed
    assert torch.equal(codec.quantized(codes).values, table[codes.streams[0].indices[0]])


@pytest.mark.parametrize("hop_length", HOPS)
def test_the_published_sizes_have_the_published_tensors(hop_length: int) -> None:
    """Names and shapes alone: on the meta device nothing is computed."""
    shapes = listed(f"wavtokenizer_{hop_length}")
    strides = [6, 5, 5, 4] if hop_length == 600 else [8, 5, 4, 2]
    sizes = {name: {"init_args": dict(values)} for name, values in PUBLISHED.items()}
    sizes["feature_extractor"]["init_args"]["dowmsamples"] = strides
    sizes["head"]["init_args"] |= {"n_fft": 4 * hop_length, "hop_length": hop_length}
    with torch.device("meta"):
        network = WavTokenizerNetwork(ModelConfig(Path("x.yaml"), {"model": {"init_args": sizes}}))
        tensors = rename(fold_weight_norms({name: torch.empty(shape) for name, shape in shapes.items()}))
    assert {name: value.shape for name, value in tensors.items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    buffers = ("inited", "cluster_size", "embed", "embed_avg", "window")
    for card in list_cards().values():
        if card.adapter.endswith(":WavTokenizer") and card.name.endswith(str(hop_length)):
            assert card.num_parameters == num_parameters(shapes, buffers)


@pytest.mark.parametrize("strides", [(4, 5, 5, 6), (2, 4, 5, 8)])
def test_the_latency_of_the_cards_is_how_far_the_encoder_looks_ahead(strides: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder, hop_length = SeanetEncoder(Seanet(num_filters=2), dimension=4, strides=strides), math.prod(strides)
    _, after = encoder_reach(encoder, hop_length=hop_length)
    samples = torch.randn(1, 1, 40 * hop_length, requires_grad=True)
    encoder(samples)[..., 20].sum().backward()
    assert samples.grad is not None
    touched = int(samples.grad[0, 0].nonzero().max())
    assert touched - (21 * hop_length - 1) == after
    latencies = {
        card.latency_s
        for card in list_cards().values()
        if card.adapter.endswith(":WavTokenizer") and card.name.endswith(str(hop_length))
    }
    assert latencies == {round(after / 24000, 4)}


def test_long_audio_is_coded_in_pieces(
    described_and_loaded: tuple[dict[str, Any], WavTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, codec = described_and_loaded
    audio = Audio(signal(72000)[None], 24000)
    expected, lengths = codec.encode(audio), []
    convolve = codec.model.encoder.model[0].forward
    monkeypatch.setattr(
        codec.model.encoder.model[0], "forward", lambda x: (lengths.append(x.shape[-1]), convolve(x))[1]
    )
    decoded = codec.decode(expected)
    codec.chunk_s = 1.0
    expect_same_codes(codec.encode(audio).streams[0].indices, expected.streams[0].indices)
    torch.testing.assert_close(codec.decode(expected).samples, decoded.samples, atol=1e-6, rtol=1e-5)
    assert len(lengths) == 3
    assert max(lengths) < 40000


def changed(values: dict[str, Any], part: str, **arguments: object) -> dict[str, Any]:
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(values))
    copy["config"]["model"]["init_args"][part]["init_args"] |= arguments
    return copy


@pytest.mark.parametrize(
    ("part", "arguments", "message"),
    [
        ("feature_extractor", {"num_quantizers": 2}, r"model\.yaml: expected .*num_quantizers 1, found 2"),
        (
            "feature_extractor",
            {"encodec_model": "dac"},
            r"model\.yaml: expected .*encodec_model 'encodec_24khz', found",
        ),
        ("feature_extractor", {"dowmsamples": [8, 5, 5, 4]}, r"model\.yaml: expected .*hop_length 800, found 600"),
        ("feature_extractor", {"n_filters": 4}, r"model\.ckpt: expected the tensors of WavTokenizerNetwork, found"),
        ("head", {"padding": "center"}, r"model\.yaml: expected .*padding 'same', found 'center'"),
        ("head", {"dim": 96}, r"model\.yaml: expected .*head\.init_args\.dim 64, found 96"),
        ("backbone", {"num_layers": 3}, r"model\.ckpt: .*found no backbone\.convnext\.2"),
        ("backbone", {"num_layers": "two"}, r"model\.yaml: expected .*num_layers of type int, found 'two'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(
    part: str, arguments: dict[str, object], message: str, tmp_path: Path
) -> None:
    save(tmp_path / CHECKPOINT, tmp_path / CONFIG, changed(described(600), part, **arguments))
    with pytest.raises(WeightsError, match=message):
        make(tmp_path)


def test_tags_in_a_configuration_are_not_obeyed(tmp_path: Path) -> None:
    save(tmp_path / CHECKPOINT, tmp_path / CONFIG, described(600))
    (tmp_path / CONFIG).write_text("model: !!python/object/apply:os.system ['touch obeyed']")
    with pytest.raises(WeightsError, match=r"model\.yaml: expected a YAML file, found could not determine"):
        make(tmp_path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / CHECKPOINT, tmp_path / CONFIG, described(600))
    file = tmp_path / CHECKPOINT
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"model\.ckpt: expected a PyTorch checkpoint, found"):
        make(tmp_path)


def test_bare_tensors_are_not_a_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / CHECKPOINT, tmp_path / CONFIG, described(600))
    torch.save({"backbone.embed.bias": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(WeightsError, match=r"model\.ckpt: expected tensors under the key 'state_dict', found"):
        make(tmp_path)
