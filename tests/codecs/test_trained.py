"""Folders of codecs with every kind of quantizer: they conform, and give what their networks give."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.registry import expand, load, one
from tokbench.codecs.trained import WEIGHTS_FILE, TrainedCodec, load_network
from tokbench.corpora.base import Corpus, Utterance
from tokbench.errors import WeightsError
from tokbench.run.files import FileJob, decode_file, encode_file
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.testing import run_checks
from tokbench.training.codec import CodecLearner
from tokbench.training.learner import Origin

HOP, RATE_HZ, DIMENSION = 160, 16000, 8
RVQ = {"kind": "rvq", "num_codebooks": 4, "codebook_size": 16}
FACTORIZED = RVQ | {
    "projection": "per-codebook",
    "code_dimension": 3,
    "normalized": True,
    "learning": "gradient",
    "straight_through": "first-layer",
}
QUANTIZERS: dict[str, dict[str, Any]] = {
    "residual": RVQ,
    "groups": RVQ | {"num_groups": 2},
    "split": RVQ | {"num_split": 1, "projection": "shared", "code_dimension": 4},
    "factorized": FACTORIZED,
    "rounded": {"kind": "fsq", "levels": [5, 4, 3]},
    "rounded again": {"kind": "fsq", "levels": [3, 3], "num_codebooks": 3},
    "continuous": {"kind": "none"},
}
SEANET = {"kind": "seanet", "num_filters": 2, "norm": "weight", "num_lstm_layers": 1}


class NoCorpus(Corpus):
    name = reference = "nothing"
    licence = "CC0-1.0"
    sha256 = "0"

    def __iter__(self) -> Iterator[Utterance]:
        return iter(())

    def __len__(self) -> int:
        return 0


def folder_of(parent: Path, quantizer: dict[str, Any], **changes: Any) -> Path:
    """Return a codec that has seen two batches of noise, and learnt from nothing."""
    spec = NeuralCodecSpec.model_validate(
        {
            "name": "mini",
            "kind": "neural-codec",
            "title": "Mini",
            "source": "a test",
            "sample_rate_hz": RATE_HZ,
            "strides": [4, 5, 8],
            "dimension": DIMENSION,
            "encoder": SEANET,
            "quantizer": quantizer,
            "decoder": SEANET,
            "losses": {"reconstruction": [{"kind": "wave", "weight": 1.0}]},
            "training": {"num_steps": 4, "batch_size": 2, "crop_s": 0.5, "optimizer": {"learning_rate": 1e-3}},
        }
        | changes
    )
    torch.manual_seed(0)
    learner = CodecLearner(spec)
    learner.codec.train()
    for _ in range(2):
        learner.codec(0.1 * torch.randn(2, 1, 50 * HOP))
    folder = parent / "mini"
    learner.export(folder, Origin(NoCorpus(), "tiny", 0))
    return folder


@pytest.fixture(params=QUANTIZERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return folder_of(tmp_path, QUANTIZERS[request.param])


def codec_of(folder: Path, setting: str = "") -> TrainedCodec:
    codec = load(one(f"{folder}:{setting}" if setting else str(folder)))
    assert isinstance(codec, TrainedCodec)
    return codec


def noise(num_samples: int = 37 * HOP + 50, seed: int = 1) -> Audio:
    return Audio.from_numpy((0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype("f4"), RATE_HZ)


def test_it_conforms(folder: Path) -> None:
    results = run_checks(str(folder), long_input_s=1.0)
    assert [result for result in results if result.status == "failed"] == []
    skipped = {result.name for result in results if result.status == "skipped"}
    assert skipped == set()


@torch.inference_mode()
def test_it_is_its_networks(folder: Path) -> None:
    codec, network, audio = codec_of(folder), load_network(folder), noise()
    samples = audio.samples[None]
    codes = network.encode(samples)
    (stream,) = codec.encode(audio).streams
    assert torch.equal(stream.indices, codes[0])
    assert stream.codebook_size == network.quantizer.codebook_sizes[0]
    decoded = network.decode(codes)[0, :, : audio.num_samples]
    torch.testing.assert_close(codec.decode(codec.encode(audio)).samples, decoded, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(codec.latents(audio).values, network.latents(samples)[0].T, atol=1e-6, rtol=1e-5)
    quantized = codec.quantized(codec.encode(audio)).values
    torch.testing.assert_close(quantized, network.quantizer.decode(codes)[0].T)


def test_every_setting_uses_the_first_codebooks(folder: Path) -> None:
    audio, whole = noise(), codec_of(folder)
    codes = whole.encode(audio).streams[0].indices
    for reference in expand(f"{folder}:all"):
        codec = load(reference)
        assert isinstance(codec, Codec)
        (stream,) = codec.encode(audio).streams
        assert torch.equal(stream.indices, codes[: stream.num_codebooks])
        assert codec.decode(codec.encode(audio)).num_samples == audio.num_samples


def test_fewer_codebooks_than_any_setting_has_work_too(folder: Path) -> None:
    all_of_them = codec_of(folder)
    most = all_of_them.info.streams[0].num_codebooks
    for number in {1, max(most - 1, 1)}:
        codec = TrainedCodec(num_codebooks=number, weights=folder)
        codes = codec.encode(noise())
        assert codes.streams[0].num_codebooks == number
        assert codec.decode(codes).num_samples == noise().num_samples


def test_long_audio_in_pieces_is_the_whole(folder: Path) -> None:
    codec, audio = codec_of(folder), noise(211 * HOP + 7)
    codes, latents = codec.encode(audio), codec.latents(audio).values
    decoded = codec.decode(codes).samples
    codec.chunk_s = 20 * HOP / RATE_HZ
    torch.testing.assert_close(codec.latents(audio).values, latents, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(codec.decode(codes).samples, decoded, atol=1e-5, rtol=1e-4)
    # A piece rounds otherwise than the whole, and networks as they begin make vectors that hardly differ.
    (found,), (expected,) = codec.encode(audio).streams, codes.streams
    assert found.num_frames == expected.num_frames
    if expected.codebook_size < 1000:
        assert float((found.indices == expected.indices).float().mean()) > 0.9


def test_files_hold_half_precision_and_no_statistics(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    names = {name.rpartition(".")[2] for name in tensors}
    assert names.isdisjoint({"counts", "sums", "is_fitted", "original0", "original1", "uses"})


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, RVQ)
    tensors = load_file(folder / WEIGHTS_FILE)
    codebook = tensors.pop("quantizer.layers.1.embed")
    save_file(tensors, folder / WEIGHTS_FILE)
    with pytest.raises(WeightsError, match=r"weights\.safetensors: .* no quantizer\.layers\.1\.embed"):
        TrainedCodec(num_codebooks=1, weights=folder)
    extra = {"quantizer.layers.1.embed": codebook, "quantizer.layers.4.embed": codebook.clone()}
    save_file(tensors | extra, folder / WEIGHTS_FILE)
    with pytest.raises(WeightsError, match=r"an unknown quantizer\.layers\.4\.embed"):
        TrainedCodec(num_codebooks=1, weights=folder)


def test_continuous_latents_cost_what_they_cost(tmp_path: Path) -> None:
    codec = codec_of(folder_of(tmp_path, QUANTIZERS["continuous"]))
    audio = noise(RATE_HZ)
    codes = codec.encode(audio)
    assert codec.info.bitrate_bps == codes.bitrate_bps == 16 * DIMENSION * RATE_HZ / HOP
    torch.testing.assert_close(codec.quantized(codes).values, codec.latents(audio).values, atol=1e-6, rtol=2**-10)


def test_continuous_latents_go_through_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, QUANTIZERS["continuous"])
    codec, audio = codec_of(folder), noise()
    audio.write(tmp_path / "in.wav")
    job = FileJob(tmp_path / "in.wav", tmp_path / "out", one(str(folder)), str(folder), "cpu", None)
    coded = encode_file(job)
    assert coded.bitrate_bps == 16 * DIMENSION * RATE_HZ / HOP
    decoded = decode_file(dataclasses.replace(job, file=coded.path, decodes=True))
    expected = codec.decode(codec.encode(Audio.read(tmp_path / "in.wav")))
    torch.testing.assert_close(Audio.read(decoded.path).samples, expected.samples, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "causal", "latency_s"),
    [
        ({"encoder": SEANET | {"causal": True}}, True, 0.0),
        ({"encoder": SEANET | {"bidirectional": True}}, False, math.inf),
        ({"encoder": SEANET | {"norm": "time-group"}}, False, math.inf),
    ],
)
def test_the_card_says_how_far_it_looks_ahead(
    changes: dict[str, Any], latency_s: float, tmp_path: Path, *, causal: bool
) -> None:
    info = codec_of(folder_of(tmp_path, RVQ, **changes)).info
    assert (info.causal, info.latency_s) == (causal, latency_s)


def test_a_codec_that_looks_at_everything_conforms(tmp_path: Path) -> None:
    seanet = SEANET | {"norm": "time-group", "num_filters": 4}
    folder = folder_of(tmp_path, RVQ, encoder=seanet | {"bidirectional": True}, decoder=seanet)
    assert [result for result in run_checks(str(folder), long_input_s=1.0) if result.status == "failed"] == []
