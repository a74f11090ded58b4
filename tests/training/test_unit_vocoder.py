"""A unit vocoder from its spec to a folder that is a codec."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.registry import load, one
from tokbench.codecs.resynthesis import TrainedResynthesis, level_melody
from tokbench.codes import Codes
from tokbench.corpora.base import Corpus
from tokbench.errors import NothingToLoadError, SpecError, WeightsError
from tokbench.specs.codec import find_spec
from tokbench.specs.unit_vocoder import UnitVocoderSpec
from tokbench.testing import run_checks
from tokbench.training.crops import Batch
from tokbench.training.learner import Progress
from tokbench.training.train import train
from tokbench.training.unit_vocoder import UnitVocoderLearner

UNITS = """
name = "mini-units"
kind = "unit-kmeans"
features = "mfcc"
setting = "39x100hz"
num_units = 12

[scales.tiny]
max_frames = 400
batch_frames = 100
max_passes = 3
num_starts = 1
max_no_improvement = 10
reassignment_ratio = 0.0
"""
SPEC = """
name = "mini"
kind = "unit-vocoder"
title = "Mini"
source = "a test"
sample_rate_hz = 16000
units = ["there-is-no-such-codec", "UNITS"]
strides = [8, 5, 4]
dimension = 8
voice = { num_mels = 20, num_filters = 8, num_codebooks = 2, levels = [4, 4] }
discriminators = [{ kind = "mpd", num_filters = 2, periods = [2, 3] }]
losses = { reconstruction = [{ kind = "mel", weight = 45.0, window_lengths = [512], num_mels = [40] }] }

[generator]
kind = "hifigan"
num_filters = 2
block_kernel_sizes = [3]
block_dilations = [[1]]
norm = "weight"

[melody]
num_filters = 4
dilations = [1]
dimension = 4
quantizer = { num_codebooks = 1, codebook_size = 5 }

[training]
num_steps = 8
batch_size = 2
crop_s = 0.32
encoder_until = 0.5
adversarial_from = 0.5
optimizer = { learning_rate = 1e-3 }
"""


@pytest.fixture
def units(corpus: Corpus, tmp_path: Path) -> Path:
    path = tmp_path / "mini-units.toml"
    path.write_text(UNITS)
    return train(str(path), corpus, tmp_path / "mini-units")


@pytest.fixture
def declared(units: Path, tmp_path: Path) -> Path:
    path = tmp_path / "mini.toml"
    path.write_text(SPEC.replace("UNITS", str(units)))
    return path


def learner(path: Path) -> UnitVocoderLearner:
    spec, _ = find_spec(str(path), "paper")
    assert isinstance(spec, UnitVocoderSpec)
    torch.manual_seed(0)
    return UnitVocoderLearner(spec).train()


def batch_of(corpus: Corpus) -> Batch:
    samples = torch.stack([utterance.read().samples[:, :6400] for utterance in corpus])
    names = ("",) * len(samples)
    return Batch(samples, samples, names, names, is_whole=(False,) * len(samples))


def test_a_trained_folder_is_a_codec_that_conforms(
    declared: Path, units: Path, corpus: Corpus, tmp_path: Path, unseen_voice: Audio
) -> None:
    out = train(str(declared), corpus, tmp_path / "my-vocoder", scale="paper")
    assert {"card.toml", "spec.toml", "weights.safetensors"} <= {path.name for path in out.iterdir()}
    reference = one(str(out))
    assert reference.card.kind == "semantic tokenizer"
    codec = load(reference)
    assert isinstance(codec, Codec)
    assert [(s.name, s.num_codebooks, s.codebook_size, s.frame_rate_hz) for s in codec.info.streams] == [
        ("units", 1, 12, 100.0),
        ("melody", 1, 5, 12.5),
        ("voice", 2, 16, None),
    ]
    codes = codec.encode(unseen_voice)
    seconds = unseen_voice.duration_s
    assert codes.bitrate_bps == pytest.approx(100 * math.log2(12) + 12.5 * math.log2(5) + 2 * 4 / seconds)
    assert [stream.num_frames for stream in codes.streams] == [math.floor(seconds * 100), 19, 1]
    tokenizer = load(one(str(units)))
    assert torch.equal(codes.streams[0].indices, tokenizer.encode(unseen_voice).streams[0].indices)
    decoded = codec.decode(codes)
    assert decoded.num_samples == unseen_voice.num_samples
    results = run_checks(str(out), long_input_s=2.0)
    assert [result for result in results if result.status == "failed"] == []


def test_units_alone_are_said_in_the_voice_of_the_first_utterance(
    declared: Path, corpus: Corpus, tmp_path: Path, unseen_voice: Audio
) -> None:
    out = train(str(declared), corpus, tmp_path / "my-vocoder", scale="paper")
    alone, whole = load(one(f"{out}:12")), load(one(f"{out}:12-5"))
    assert isinstance(alone, TrainedResynthesis)
    assert isinstance(whole, TrainedResynthesis)
    assert alone.info.streams == whole.info.streams[:1]
    codes = alone.encode(unseen_voice)
    assert one(f"{out}:12").card.bitrate_bps == {"12": pytest.approx(codes.bitrate_bps)}
    units, melody, _ = whole.encode(unseen_voice).streams
    *_, voice = whole.encode(next(iter(corpus)).read()).streams
    assert torch.equal(codes.streams[0].indices, units.indices)
    level = torch.full_like(melody.indices, int(level_melody(whole.model)))
    expected = whole.decode(Codes((units, replace(melody, indices=level), voice), codes.num_samples, 16000))
    torch.testing.assert_close(alone.decode(codes).samples, expected.samples)
    assert [result for result in run_checks(f"{out}:12", long_input_s=2.0) if result.status == "failed"] == []


def turns(of: UnitVocoderLearner, batch: Batch, share: float) -> Mapping[str, torch.Tensor]:
    """Go through one step without an optimizer; return each turn's total, its gradients added up."""
    totals = {}
    for turn in of.turns(batch, Progress(round(100 * share), 100)):
        turn.total.backward()
        totals[turn.optimizer] = turn.total
    return totals


def test_the_melody_learns_first_and_the_discriminators_later(declared: Path, corpus: Corpus) -> None:
    trained, batch = learner(declared), batch_of(corpus)
    assert list(turns(trained, batch, 0.0)) == ["melody", "vocoder"]
    codes = trained.vocoder.melody_quantizer.state_dict()
    before = {name: tensor.clone() for name, tensor in codes.items()}
    assert list(turns(trained, batch, 0.6)) == ["discriminators", "vocoder"]
    assert all(torch.equal(before[name], tensor) for name, tensor in codes.items())


def test_alarms_find_how_the_contest_stands(declared: Path, corpus: Corpus) -> None:
    trained, batch = learner(declared), batch_of(corpus)
    losses = [name for turn in trained.turns(batch, Progress(60, 100)) for name in turn.losses]
    assert {"discriminator", "adversarial"} <= set(losses)


def test_the_audio_teaches_everything_but_the_melody(declared: Path, corpus: Corpus) -> None:
    trained, batch = learner(declared), batch_of(corpus)
    turns(trained, batch, 0.6)
    optimizers = trained.optimizers()
    assert all(parameter.grad is None for parameter in optimizers["melody"][1])
    assert all(parameter.grad is not None for parameter in optimizers["vocoder"][1])
    found = [id(parameter) for _, parameters in optimizers.values() for parameter in parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in trained.parameters())


def test_the_contour_is_learnt(declared: Path, corpus: Corpus) -> None:
    trained, batch = learner(declared), batch_of(corpus)
    optimizer = torch.optim.Adam(trained.optimizers()["melody"][1], 1e-2)
    errors = []
    for _ in range(30):
        turn = next(trained.turns(batch, Progress(0, 10)))
        optimizer.zero_grad()
        turn.total.backward()
        optimizer.step()
        errors.append(float(turn.losses["melody"].detach()))
    assert errors[-1] < 0.5 * errors[0]


def test_losses_on_held_out_audio_are_those_of_the_decoded_audio(declared: Path, corpus: Corpus) -> None:
    trained, batch = learner(declared).eval(), batch_of(corpus)
    found = trained.validate(batch)
    decoded = trained.reconstruct(batch.inputs)
    assert decoded.shape == batch.inputs.shape
    torch.testing.assert_close(found["mel"], trained.reconstruction(decoded, batch.samples)["mel"])


def test_units_that_are_not_there_are_told(declared: Path) -> None:
    declared.write_text(declared.read_text().replace("mini-units", "no-units"))
    with pytest.raises(NothingToLoadError, match="there-is-no-such-codec"):
        learner(declared)


def test_units_of_another_length_are_refused(declared: Path) -> None:
    declared.write_text(declared.read_text().replace("[8, 5, 4]", "[8, 5, 8]"))
    with pytest.raises(WeightsError, match="expected units at 50 Hz, found 100 Hz"):
        learner(declared)


def test_other_units_of_that_name_are_refused(declared: Path, units: Path, corpus: Corpus, tmp_path: Path) -> None:
    out = train(str(declared), corpus, tmp_path / "my-vocoder", scale="paper")
    shutil.rmtree(units)
    train(str(tmp_path / "mini-units.toml"), corpus, units, seed=1)
    with pytest.raises(WeightsError, match="other files of that name"):
        load(one(str(out)))


def test_contradictions_are_told(declared: Path) -> None:
    text = declared.read_text()
    declared.write_text(
        text.replace("num_codebooks = 1, codebook_size = 5", "num_codebooks = 2, codebook_size = 5").replace(
            "num_filters = 2\nblock", "num_filters = 2\nkernel_sizes = [4]\nblock"
        )
    )
    with pytest.raises(SpecError) as raised:
        find_spec(str(declared), "paper")
    assert "melody.quantizer.num_codebooks: expected 1, found 2" in str(raised.value)
    assert "generator.kernel_sizes: expected 3, as many as strides, found 1" in str(raised.value)
