"""AudioDec, HiFi-Codec, FunCodec and FreqCodec: as large as published, and codecs once they are trained."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.registry import load, one
from tokbench.corpora.base import Corpus
from tokbench.models.networks import build_decoder, build_encoder, build_vocoder
from tokbench.models.neural_codec import NeuralCodec
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import CONTRADICTIONS, NeuralCodecSpec
from tokbench.specs.scales import overlaid
from tokbench.testing import run_checks
from tokbench.training.codec import CodecLearner
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress

DESIGNS = ("audiodec", "hificodec", "funcodec", "freqcodec")
NARROW: Mapping[str, Mapping[str, Any]] = {
    "audiodec": {
        "encoder": {"num_filters": 2},
        "decoder": {"num_filters": 2},
        "vocoder": {"network": {"num_filters": 2}, "begins": 0.5, "num_batches": 3},
        "training": {"encoder_until": 0.5, "adversarial_from": 0.5},
    },
    "hificodec": {"decoder": {"num_filters": 2}},
    "funcodec": {"encoder": {"num_filters": 4}, "decoder": {"num_filters": 4}},
    "freqcodec": {"encoder": {"num_filters": 2}, "decoder": {"num_filters": 2}},
}


def paper(name: str, **changes: Any) -> NeuralCodecSpec:
    return changed(find_spec(name)[0], changes)


def narrow(name: str, **changes: Any) -> NeuralCodecSpec:
    """Return the tiny design with few channels, small codebooks and no discriminators, for four steps."""
    common = {
        "dimension": 8,
        "quantizer": {"codebook_size": 16},
        "discriminators": [],
        "training": {"num_steps": 4, "batch_size": 2, "crop_s": 0.2},
    }
    return changed(find_spec(name, "tiny")[0], overlaid(overlaid(common, NARROW[name]), changes))


def changed(spec: object, changes: Mapping[str, Any]) -> NeuralCodecSpec:
    assert isinstance(spec, NeuralCodecSpec)
    return NeuralCodecSpec.model_validate(overlaid(spec.model_dump(exclude_none=True), changes))


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def batches(seed: int = 0) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(8):
        samples = 0.1 * torch.randn(2, 1, 3200, generator=generator)
        made.append(Batch(samples, samples, ("", ""), ("", ""), (False, False)))
    return made


def trained(learner: CodecLearner, steps: range) -> None:
    """Take steps of plain gradient descent."""
    drawn = batches()
    for step in steps:
        progress = Progress(step, learner.settings.num_steps)
        learner.train()
        learner.prepare(progress, drawn.__getitem__)
        for turn in learner.turns(drawn[step], progress):
            _, parameters = learner.optimizers()[turn.optimizer]
            optimizer = torch.optim.SGD(parameters, lr=1e-3)
            optimizer.zero_grad()
            turn.total.backward()
            optimizer.step()


def test_the_sizes_of_audiodec_are_the_published_ones() -> None:
    """README of the publisher, and 98 304 of the projector to 64 features."""
    fields: Mapping[str, dict[str, Any]] = {
        "v0": {"block_kernel_sizes": (3, 7, 11), "block_dilations": ((1, 3, 5),) * 3, "num_groups": 1},
        "v1": {},
        "v2": {"block_kernel_sizes": (3,)},
    }
    with torch.device("meta"):
        spec = paper("audiodec")
        assert size(build_encoder(spec)) == 3_806_368 + 98_304
        assert size(build_decoder(spec)) == 4_035_264
        sizes = {}
        for version, change in fields.items():
            vocoder = paper("audiodec", vocoder={"network": change}).vocoder
            assert vocoder is not None
            sizes[version] = size(build_vocoder(spec, vocoder))
        assert sizes == {"v0": 12_932_610, "v1": 19_461_090, "v2": 6_927_330}


def test_the_sizes_of_hificodec_are_those_of_the_published_classes() -> None:
    with torch.device("meta"):
        spec = paper("hificodec")
        assert size(build_encoder(spec)) == 47_228_960
        assert size(build_decoder(spec)) == 15_353_346
        assert size(NeuralCodec(spec)) == 47_228_960 + 15_353_346 + 1_048_576


def without_norms(network: nn.Module) -> int:
    return size(network) - sum(size(layer) for layer in network.modules() if isinstance(layer, nn.GroupNorm))


def both_networks(spec: NeuralCodecSpec) -> int:
    with torch.device("meta"):
        return without_norms(build_encoder(spec)) + without_norms(build_decoder(spec))


def test_the_sizes_of_funcodec_are_the_published_ones_without_normalizations() -> None:
    """README of the publisher. Its 57.83 million at 25 Hz hold normalizations and 283 398 of a discriminator."""
    assert f"{both_networks(paper('funcodec')) / 1e6:.2f}" == "14.85"
    slower = paper("funcodec", strides=[2, 2, 4, 5, 8])
    with torch.device("meta"):
        total = size(build_encoder(slower)) + size(build_decoder(slower))
    assert f"{(total + 283_398) / 1e6:.2f}" == "57.83"


def test_the_size_of_the_smallest_freqcodec_is_the_published_one() -> None:
    """README of the publisher: 0.52 million with groups of one channel, in convolutions of both directions."""
    network = {"dilations": [1, 1, 1], "kernel_size": 3, "last_kernel_size": 3, "num_lstm_layers": 0}
    grouped = {**network, "group_ratio": 1, "transposed_group_ratio": 1}
    assert f"{both_networks(paper('freqcodec', encoder=grouped, decoder=grouped)) / 1e6:.2f}" == "0.52"


@pytest.mark.parametrize("name", DESIGNS)
def test_a_tiny_codec_fits_into_three_megabytes_in_half_precision(name: str) -> None:
    spec, _ = find_spec(name, "tiny")
    assert isinstance(spec, NeuralCodecSpec)
    with torch.device("meta"):
        numbers = sum(tensor.numel() for tensor in NeuralCodec(spec).finished_state().values())
    assert 2 * numbers < 3_000_000


@pytest.mark.parametrize("scale", ["small", "tiny"])
@pytest.mark.parametrize("name", DESIGNS)
def test_every_scale_has_sixteen_kilohertz_fifty_frames_and_eight_codebooks(name: str, scale: str) -> None:
    spec, _ = find_spec(name, scale)
    assert isinstance(spec, NeuralCodecSpec)
    assert (spec.sample_rate_hz, spec.frame_rate_hz) == (16000, 50)
    assert getattr(spec.quantizer, "num_codebooks", None) == 8


@pytest.mark.parametrize("name", DESIGNS)
def test_what_was_trained_is_a_codec_that_conforms(name: str, corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner = CodecLearner(narrow(name))
    before = [parameter.clone() for parameter in learner.codec.encoder.parameters()]
    trained(learner, range(4))
    assert any(not torch.equal(*pair) for pair in zip(before, learner.codec.encoder.parameters(), strict=True))
    learner.export(tmp_path / name, Origin(corpus, "tiny", 0))
    results = run_checks(str(tmp_path / name), long_input_s=2.0)
    assert [result for result in results if result.status != "passed"] == []


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changes(network: nn.Module, before: Mapping[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_vocoder_takes_the_decoders_place(corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner = CodecLearner(narrow("audiodec"))
    codec = learner.codec
    assert codec.vocoder is not None
    begun = state(codec.vocoder)
    trained(learner, range(2))
    assert not changes(codec.vocoder, begun)
    halfway = {name: state(network) for name, network in codec.named_children()}
    trained(learner, range(2, 4))
    assert {name: changes(getattr(codec, name), tensors) for name, tensors in halfway.items()} == {
        "encoder": False,
        "quantizer": False,
        "decoder": False,
        "vocoder": True,
    }
    # Its statistics are those of all frames that were drawn.
    with torch.no_grad():
        drawn = [codec.quantizer.decode(codec.encode(batch.samples)) for batch in batches()[2:5]]
    frames = torch.cat(drawn).transpose(1, 2).flatten(0, 1)
    scaler = StandardScaler().fit(frames.double().numpy())
    torch.testing.assert_close(codec.vocoder.mean, torch.tensor(scaler.mean_).float())
    torch.testing.assert_close(codec.vocoder.scale, torch.tensor(scaler.scale_).float())
    # And it alone is left of the two.
    learner.export(tmp_path / "codec", Origin(corpus, "tiny", 0))
    codec.eval()
    loaded = load(one(str(tmp_path / "codec")))
    assert isinstance(loaded, Codec)
    samples = batches(seed=1)[0].samples
    codes = loaded.encode(Audio(samples[0], 16000))
    with torch.no_grad():
        expected = codec.vocoder(codec.quantizer.decode(codes.streams[0].indices[None]))[0] / codec.spec.level
    # Of weights in half precision.
    torch.testing.assert_close(loaded.decode(codes).samples, expected, atol=3e-2, rtol=1e-2)


def test_an_encoder_learns_to_leave_noise_behind() -> None:
    """Alone, of noisy inputs, after the rest has learnt from what is to come out."""
    torch.manual_seed(0)
    noise = {"noise": {"probability": 1.0, "snr_db": (0.0, 10.0)}, "target": "clean"}
    stages = {"quantized_from": 0.0, "encoder_until": 0.5, "adversarial_from": 0.0, "denoising_from": 0.5}
    codes = {"kmeans_init": False}  # which would be fitted to the first batch alone
    spec = narrow("audiodec", vocoder=None, training=stages, augmentation=noise, quantizer=codes)
    learner = CodecLearner(spec)
    clean = batches()[0]
    noisy = dataclasses.replace(clean, inputs=clean.samples + 0.1 * torch.randn_like(clean.samples))

    def losses(step: int, batch: Batch) -> Mapping[str, Tensor]:
        (turn,) = learner.turns(batch, Progress(step, 4))
        return turn.losses

    begun = state(learner)
    first = losses(0, clean)["commitment"]
    learner.load_state_dict(begun)
    assert torch.equal(first, losses(0, noisy)["commitment"])
    assert not torch.equal(losses(2, clean)["commitment"], losses(2, noisy)["commitment"])
    halfway = {name: state(network) for name, network in learner.codec.named_children()}
    trained(learner, range(2, 4))
    moved = {name: changes(getattr(learner.codec, name), tensors) for name, tensors in halfway.items()}
    assert moved == {"encoder": True, "quantizer": False, "decoder": False}


def test_audio_of_equal_loudness_has_equal_codes_and_its_own_loudness(corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner = CodecLearner(narrow("funcodec"))
    trained(learner, range(1))
    learner.export(tmp_path / "codec", Origin(corpus, "tiny", 0))
    codec = load(one(str(tmp_path / "codec")))
    assert isinstance(codec, Codec)
    samples = batches()[0].samples[0]
    loud, soft = (codec.encode(Audio(gain * samples, 16000)) for gain in (1.0, 0.25))
    assert torch.equal(loud.streams[0].indices, soft.streams[0].indices)
    torch.testing.assert_close(codec.decode(soft).samples, 0.25 * codec.decode(loud).samples)
    learner.eval()
    with torch.no_grad():
        outputs = [learner.codec(gain * samples[None]).samples for gain in (1.0, 0.25)]
    torch.testing.assert_close(outputs[1], 0.25 * outputs[0])


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("audiodec", {"encoder": {"ratios": [2, 4, 8]}}, "encoder.ratios: expected one for each of 4 strides"),
        (
            "audiodec",
            {"vocoder": {"begins": 0.1}},
            "vocoder.begins: expected at least training.encoder_until (0.5)",
        ),
        ("hificodec", {"decoder": {"kernel_sizes": [16, 10, 8, 4]}}, "decoder.kernel_sizes: expected [8, 5, 4, 2]"),
        ("hificodec", {"encoder": {"block_dilations": [[1]]}}, "encoder.block_dilations: expected 2"),
        ("hificodec", {"decoder": {"num_groups": 3}}, "decoder.num_groups: expected 1 beside 2"),
        ("hificodec", {"decoder": {"causal": True, "kernel_sizes": [16, 11, 8, 4]}}, "expected twice the strides"),
        ("freqcodec", {"encoder": {"frequency_strides": [4, 4, 4]}}, "encoder.frequency_strides: expected 4"),
        ("freqcodec", {"strides": [320, 1, 1, 1, 1]}, "strides: expected a first one of at most 256"),
    ],
)
def test_layers_that_do_not_fit_are_told(name: str, change: Mapping[str, Any], problem: str) -> None:
    spec = narrow(name, **change)
    found = [
        check(*(getattr(spec, key) for key in check.__code__.co_varnames[: check.__code__.co_argcount]))
        for check in CONTRADICTIONS
    ]
    assert problem in " ".join(filter(None, found))
