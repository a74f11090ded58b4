"""A codec trained with a model of its codes: bitstreams, and what they cost."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tokbench.audio import Audio
from tokbench.codecs.bitstream import Bitstream
from tokbench.codecs.card import read_card
from tokbench.codecs.entropy import EntropyCoder
from tokbench.codecs.registry import load, one
from tokbench.codecs.trained import TrainedCodec
from tokbench.corpora.base import Corpus
from tokbench.errors import SpecError
from tokbench.run.files import FileJob, codec_of_file, decode_file, encode_file
from tokbench.specs.base import file_sha256
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.training.crops import Batch
from tokbench.training.entropy_coding import EntropyLearner
from tokbench.training.learner import Progress
from tokbench.training.train import train

SPEC = """
name = "mini"
kind = "neural-codec"
title = "Mini"
source = "a test"
sample_rate_hz = 16000
strides = [4, 4, 5, 4]
dimension = 8
encoder = { kind = "seanet", num_filters = 2, num_lstm_layers = 0 }
quantizer = { kind = "rvq", num_codebooks = 4, codebook_size = 16 }
decoder = { kind = "seanet", num_filters = 2, num_lstm_layers = 0 }
losses = { reconstruction = [{ kind = "wave", weight = 1.0 }] }
training = { num_steps = 4, batch_size = 2, crop_s = 0.5, optimizer = { learning_rate = 1e-3 } }

[entropy_coding]
num_layers = 1
num_heads = 2
dimension = 16
feedforward_dimension = 32
vocabulary = "VOCABULARY"
training = { num_steps = 60, batch_size = 2, crop_s = 1.0, optimizer = { learning_rate = 1e-2 } }
"""


@pytest.fixture(params=["tables", "code-vectors"])
def trained(request: pytest.FixtureRequest, corpus: Corpus, tmp_path: Path) -> Path:
    path = tmp_path / "mini.toml"
    path.write_text(SPEC.replace("VOCABULARY", request.param))
    return train(str(path), corpus, tmp_path / "codec", scale="paper")


def codec(folder: Path, setting: str = "4x16") -> TrainedCodec:
    loaded = load(one(f"{folder}:{setting}"))
    assert isinstance(loaded, TrainedCodec)
    return loaded


def test_a_trained_codec_writes_its_codes_in_fewer_bits(trained: Path, unseen_voice: Audio) -> None:
    for setting in ("4x16", "1x16"):
        writer, reader = codec(trained, setting), codec(trained, setting)
        assert writer.entropy_coder is not None
        codes = writer.encode(unseen_voice)
        stream = Bitstream.from_bytes(Bitstream.pack("mini", codes, writer.entropy_coder).to_bytes())
        assert torch.equal(stream.unpack(reader.entropy_coder).streams[0].indices, codes.streams[0].indices)
        num_bits = writer.entropy_coder.cross_entropy_bits(codes.streams[0].indices)
        assert num_bits - 8 <= 8 * len(stream.payload) <= 1.01 * num_bits + 8
        assert stream.bitrate_bps < 0.9 * codes.bitrate_bps


def test_the_card_names_the_weights_of_the_model(trained: Path) -> None:
    card = read_card(trained / "card.toml")
    assert card.weights is not None
    assert card.weights.files["entropy.safetensors"] == file_sha256(trained / "entropy.safetensors")
    assert sorted(path.name for path in trained.glob("*.safetensors")) == [
        "entropy.safetensors",
        "weights.safetensors",
    ]


def test_a_codec_without_the_weights_of_the_model_has_no_coder(trained: Path) -> None:
    loaded = codec(trained)
    (trained / "entropy.safetensors").unlink()
    assert loaded.entropy_coder is None


def test_the_codec_does_not_change_while_its_codes_are_learnt(trained: Path, corpus: Corpus) -> None:
    learner = EntropyLearner(trained).train()
    before = {name: tensor.clone() for name, tensor in learner.codec.state_dict().items()}
    samples = torch.stack([utterance.read().samples[:, :16000] for utterance in corpus])
    names = ("",) * len(samples)
    batch = Batch(samples, samples, names, names, is_whole=(True,) * len(samples))
    for turn in learner.turns(batch, Progress(0, 1)):
        turn.total.backward()
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.codec.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.codec.parameters())
    assert all(parameter.grad is not None for parameter in learner.model.parameters())


def test_held_out_codes_are_told_in_bits(trained: Path, corpus: Corpus) -> None:
    learner = EntropyLearner(trained).eval()
    samples = torch.stack([utterance.read().samples[:, :16000] for utterance in corpus])
    names = ("",) * len(samples)
    found = learner.validate(Batch(samples, samples, names, names, is_whole=(True,) * len(samples)))
    coder, codes = EntropyCoder(learner.model), learner.codec.encode(samples)
    num_bits = sum(coder.cross_entropy_bits(example) for example in codes)
    assert float(found["bits_per_code"]) == pytest.approx(num_bits / codes.numel(), rel=1e-4)


def test_nothing_is_learnt_from_what_only_fills_a_crop(trained: Path, corpus: Corpus) -> None:
    """A loud example alone costs what it costs beside one that ends after its first half."""
    learner = EntropyLearner(trained).eval()
    whole = next(iter(corpus)).read().samples[None, :, :16000]
    half = whole.clone()
    half[..., 8000:] = 0.0
    half[..., 4000:4100] = 0.0  # a pause is not its end

    def bits(samples: torch.Tensor) -> tuple[float, int]:
        names = ("",) * len(samples)
        batch = Batch(samples, samples, names, names, is_whole=(True,) * len(samples))
        num_heard = int(learner._are_heard(batch, 50).sum())
        return float(learner.validate(batch)["bits_per_code"]), num_heard

    (first, num_first), (second, num_second) = bits(whole), bits(half)
    together, num_both = bits(torch.cat([whole, half]))
    assert (num_first, num_second, num_both) == (50, 25, 75)
    assert together == pytest.approx((50 * first + 25 * second) / 75, rel=1e-4)


def test_files_become_bitstreams_and_audio_again(trained: Path, tmp_path: Path) -> None:
    """By the functions of the commands ``encode --entropy`` and ``decode``; the audio is that of the codes."""
    name = f"{trained}:2x16"
    job = FileJob(tmp_path / "0.wav", tmp_path / "out", one(name), name, "cpu", None, entropy=True)
    coded = encode_file(job)
    assert (coded.path.name, coded.coder, coded.bitrate_bps) == ("0.tokb", "lm", 2 * 4 * 50)
    assert 0 < coded.coded_bitrate_bps < coded.bitrate_bps
    assert codec_of_file(coded.path) == name
    decoded = decode_file(dataclasses.replace(job, file=coded.path, decodes=True))
    plain = encode_file(dataclasses.replace(job, entropy=False))
    assert (plain.path.name, plain.coder) == ("0.safetensors", "")
    expected = decode_file(dataclasses.replace(job, file=plain.path, folder=tmp_path / "plain", decodes=True))
    assert decoded.path.read_bytes() == expected.path.read_bytes()


def test_a_codec_without_a_model_writes_fixed_widths(corpus: Corpus, tmp_path: Path) -> None:
    job = FileJob(next(iter(corpus)).path, tmp_path / "out", one("mulaw"), "mulaw", "cpu", None, entropy=True)
    coded = encode_file(job)
    assert (coded.coder, coded.coded_bitrate_bps) == ("fixed-width", coded.bitrate_bps)
    assert decode_file(dataclasses.replace(job, file=coded.path, decodes=True)).duration_s == coded.duration_s


def test_contradictions_are_told(tmp_path: Path) -> None:
    text = SPEC.replace("VOCABULARY", "tables")
    continuous = tmp_path / "continuous.toml"
    continuous.write_text(
        text.replace('{ kind = "rvq", num_codebooks = 4, codebook_size = 16 }', '{ kind = "none" }')
    )
    with pytest.raises(SpecError, match=r"entropy_coding: there are no codes where quantizer.kind is 'none'"):
        find_spec(str(continuous), "paper")
    loud = tmp_path / "loud.toml"
    loud.write_text(text.replace("dimension = 8", "dimension = 8\nloudness_normalized = true"))
    with pytest.raises(SpecError, match="entropy_coding: expected no semantic units or loudness beside the codes"):
        find_spec(str(loud), "paper")
    narrow = tmp_path / "narrow.toml"
    narrow.write_text(text.replace("num_heads = 2", "num_heads = 3"))
    with pytest.raises(SpecError, match=r"dimension \(16\) is not even and a multiple of num_heads \(3\)"):
        find_spec(str(narrow), "paper")


@pytest.mark.parametrize("scale", ["tiny", "small", "paper"])
def test_the_model_of_encodec_is_sized_for_every_scale(scale: str) -> None:
    spec, _ = find_spec("encodec", scale)
    assert isinstance(spec, NeuralCodecSpec)
    assert spec.entropy_coding is not None
    assert spec.entropy_coding.vocabulary == ("code-vectors" if scale == "tiny" else "tables")
