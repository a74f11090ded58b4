"""Trained codecs with semantic units: two streams, from which alone speech comes back."""

from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
import torch
from tiny import trained_units

from tokbench.audio import Audio
from tokbench.codecs.registry import load, one
from tokbench.codecs.semantic import SemanticCodec
from tokbench.corpora.base import Corpus
from tokbench.errors import NothingToLoadError, WeightsError
from tokbench.specs.base import read_toml
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.testing import run_checks
from tokbench.training.codec import CodecLearner
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress

SMALL = {
    "dimension": 16,
    "encoder": {"num_filters": 4},
    "decoder": {"num_filters": 4},
    "quantizer": {"num_codebooks": 2, "codebook_size": 8, "dropout_choices": [1, 2]},
    "training": {"crop_s": 0.6},
    "discriminators": [],
}


@pytest.fixture
def units(corpus: Corpus, tmp_path: Path) -> str:
    return trained_units.write(tmp_path / "units", corpus)


def learner(units: str, combination: str) -> CodecLearner:
    changes = {**SMALL, "semantic": {"combination": combination, "units": ["nobody", units]}}
    spec, _ = find_spec("funcodec-semantic", "tiny", changes=changes)
    assert isinstance(spec, NeuralCodecSpec)
    torch.manual_seed(0)
    return CodecLearner(spec)


def batch(voice: Audio) -> Batch:
    samples = torch.stack([voice.samples[:, :9600], voice.samples[:, 9600:19200]])
    return Batch(samples, samples, ("", ""), ("", ""), (False, False))


@pytest.mark.parametrize("combination", ["concat", "add", "residual"])
def test_a_codec_with_units_conforms(
    combination: str, units: str, corpus: Corpus, unseen_voice: Audio, tmp_path: Path
) -> None:
    trained = learner(units, combination).train()
    for step in range(2):
        for turn in trained.turns(batch(unseen_voice), Progress(step, 2)):
            turn.total.backward()
    trained.eval().export(tmp_path / "codec", Origin(corpus, "tiny", 0))
    reference = one(str(tmp_path / "codec"))
    failed = [result for result in run_checks([reference], long_input_s=5.0) if result.status == "failed"]
    assert not failed
    codec = load(reference)
    assert isinstance(codec, SemanticCodec)
    codes = codec.encode(unseen_voice)
    assert [stream.codebook_size for stream in codes.streams[:2]] == [trained_units.NUM_UNITS, 8]
    # At 100 Hz for the codec's 50: every other unit, from the second.
    expected = load(one(units)).encode(unseen_voice).streams[0].indices[0, 1::2]
    num_frames = codes.streams[1].indices.shape[1]
    assert codes.streams[0].indices.shape == (1, num_frames)
    assert torch.equal(codes.streams[0].indices[0, : len(expected)], expected[:num_frames])
    # The loudness is sent once, whatever the length: there is no rate to state.
    assert codec.info.bitrate_bps is None
    assert reference.card.bitrate_bps == {}
    assert f"sends the units of {units}:13x100hz-km12" in reference.card.notes


def test_what_comes_back_depends_on_the_units(
    units: str, corpus: Corpus, unseen_voice: Audio, tmp_path: Path
) -> None:
    learner(units, "add").eval().export(tmp_path / "codec", Origin(corpus, "tiny", 0))
    codec = load(one(str(tmp_path / "codec")))
    assert isinstance(codec, SemanticCodec)
    codes = codec.encode(unseen_voice)
    decoded = codec.decode(codes).samples
    units_sent, *rest = codes.streams
    others = replace(units_sent, indices=(units_sent.indices + 1) % trained_units.NUM_UNITS)
    codes = replace(codes, streams=(others, *rest))
    assert (codec.decode(codes).samples - decoded).abs().max() > 1e-4


def test_the_units_must_be_those_of_the_training(units: str, corpus: Corpus, tmp_path: Path) -> None:
    learner(units, "add").eval().export(tmp_path / "codec", Origin(corpus, "tiny", 0))
    file = tmp_path / "codec" / "spec.toml"
    spec = read_toml(file, NeuralCodecSpec)
    assert spec.semantic is not None
    other = spec.semantic.model_copy(update={"sha256": "0" * 64})
    changed = spec.model_copy(update={"semantic": other})
    file.write_text(tomli_w.dumps(changed.model_dump(mode="json", exclude_none=True)))
    with pytest.raises(WeightsError, match=r"expected 12 units of .*, as in training, found other files"):
        SemanticCodec(num_codebooks=2, weights=tmp_path / "codec")


def test_without_the_units_there_is_no_codec() -> None:
    with pytest.raises(NothingToLoadError, match="none of nobody, no-one is there"):
        learner("no-one", "add")
