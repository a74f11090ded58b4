"""Continuous latents that bear noise, and the recogniser that learns beside a codec."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tokbench.codecs.base import Codec
from tokbench.codecs.registry import load, one
from tokbench.corpora.base import Corpus
from tokbench.models.neural_codec import CodecOutput
from tokbench.models.quantization.continuous import ContinuousLatents
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.transcription import Transcription
from tokbench.testing import run_checks
from tokbench.training.codec import CodecLearner
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress
from tokbench.training.transcription import Recognizer, Transcriber, to_bytes

SMALLER: Mapping[str, Any] = {
    "dimension": 8,
    "encoder": {"num_filters": 2},
    "decoder": {"num_filters": 2},
    "transcription": {"width": 16},
    "discriminators": [],
    "training": {"num_steps": 2, "batch_size": 2, "crop_s": 0.4, "quantized_from": 0.0, "adversarial_from": 0.0},
}


def spec_of(**changes: object) -> NeuralCodecSpec:
    spec, _ = find_spec("cont-spt", "tiny", changes={**SMALLER, **changes})
    assert isinstance(spec, NeuralCodecSpec)
    return spec


def batch(*texts: str, is_whole: bool = True, num_samples: int = 6400) -> Batch:
    generator = torch.Generator().manual_seed(len(texts))
    samples = 0.1 * torch.randn(len(texts), 1, num_samples, generator=generator)
    return Batch(samples, samples, texts, ("",) * len(texts), (is_whole,) * len(texts))


def output_of(latents: Tensor, samples: Tensor) -> CodecOutput:
    return CodecOutput(samples, latents, None)


def every_path(probabilities: list[list[float]], wanted: list[int], blank: int) -> float:
    """Add up the probabilities of every path that says ``wanted`` once repetitions and blanks are dropped."""
    total = 0.0
    for path in itertools.product(range(len(probabilities[0])), repeat=len(probabilities)):
        said = [symbol for symbol, _ in itertools.groupby(path) if symbol != blank]
        if said == wanted:
            total += math.prod(row[symbol] for row, symbol in zip(probabilities, path, strict=True))
    return total


def test_the_loss_is_that_of_every_path_that_says_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four frames and three symbols, a, b and the blank: few enough to try all paths.
    torch.manual_seed(0)
    transcriber = Transcriber(spec_of(), Transcription(of="latents", width=16, num_layers=1))
    few = torch.randn(1, 4, 3)
    logits = torch.full((1, 4, 257), -torch.inf)
    logits[..., [ord("a"), ord("b"), 256]] = few
    monkeypatch.setattr(transcriber.recognizer, "forward", lambda _features: logits)
    found = transcriber(output_of(torch.zeros(1, 8, 4), torch.zeros(1, 1, 1280)), batch("Ab"))
    expected = -math.log(every_path(few[0].softmax(dim=1).tolist(), [0, 1], blank=2)) / 4
    assert found["transcription"].item() == pytest.approx(expected, rel=1e-5)


def test_only_whole_utterances_with_a_text_count() -> None:
    torch.manual_seed(0)
    transcriber = Transcriber(spec_of(), Transcription(of="latents", width=16, num_layers=1))
    latents, samples = torch.randn(3, 8, 20), torch.zeros(3, 1, 6400)
    crops = batch("one", "", "two")
    both = transcriber(output_of(latents, samples), crops)["transcription"]
    singles = [
        transcriber(output_of(latents[i : i + 1], samples[:1]), batch(crops.texts[i]))["transcription"]
        for i in (0, 2)
    ]
    torch.testing.assert_close(both, (singles[0] + singles[1]) / 2)
    assert transcriber(output_of(latents, samples), batch("one", "two", "three", is_whole=False)) == {}
    assert transcriber(output_of(latents, samples), batch("", "...", "")) == {}
    assert transcriber.health() == {"transcribed_crops": pytest.approx(4 / 11)}
    assert transcriber.health() == {"transcribed_crops": 0.0}


def test_a_text_that_is_too_long_for_its_crop_teaches_nothing() -> None:
    transcriber = Transcriber(spec_of(), Transcription(of="latents", width=16, num_layers=1))
    found = transcriber(output_of(torch.randn(1, 8, 4), torch.zeros(1, 1, 1280)), batch("much too long"))
    assert found["transcription"].item() == 0


@pytest.mark.parametrize("of", ["latents", "decoded"])
def test_a_recogniser_learns_what_is_said(of: str) -> None:
    torch.manual_seed(0)
    spec = spec_of()
    transcriber = Transcriber(spec, Transcription.model_validate({"of": of, "width": 32, "num_layers": 1}))
    time = torch.arange(1600) / 16000
    samples = torch.stack([torch.sin(2 * math.pi * f * time) for f in (300, 2000)])[:, None]
    latents = torch.randn(2, 8, 5)
    optimizer = torch.optim.Adam(transcriber.parameters(), 3e-2)
    losses = []
    for _ in range(60):
        loss = transcriber(output_of(latents, samples), batch("ah", "oh"))["transcription"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Without listening, the first letter would cost log 2, and so each of five frames 0.14.
    assert losses[0] > 2
    assert losses[-1] < 0.1


def test_what_a_codec_says_reaches_its_encoder() -> None:
    for of in ("latents", "decoded"):
        torch.manual_seed(0)
        learner = CodecLearner(spec_of(transcription={"of": of, "width": 16}, losses={"divergence": 0.0}))
        *_, turn = learner.turns(batch("ab", "cd"), Progress(0, 2))
        turn.losses["transcription"].backward()
        gradients = [parameter.grad for parameter in learner.codec.encoder.parameters()]
        assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
        decodes = any(parameter.grad is not None for parameter in learner.codec.decoder.parameters())
        assert decodes is (of == "decoded")


def test_both_losses_have_their_weights() -> None:
    totals = []
    for weight, divergence in ((1e-9, 0.0), (2.0, 0.0), (2.0, 3.0)):
        torch.manual_seed(0)
        learner = CodecLearner(
            spec_of(
                transcription={"weight": weight, "width": 16}, losses={"divergence": divergence, "balancer": None}
            )
        )
        torch.manual_seed(1)
        *_, turn = learner.turns(batch("ab", "cd"), Progress(0, 2))
        totals.append((turn.total.item(), {name: loss.item() for name, loss in turn.losses.items()}))
    (none, losses), (transcribed, _), (all_of_it, _) = totals
    assert transcribed - none == pytest.approx(2 * losses["transcription"], rel=1e-3)
    assert all_of_it - transcribed == pytest.approx(3 * losses["divergence"], rel=1e-2)


def test_noise_is_added_in_training_alone() -> None:
    torch.manual_seed(0)
    quantizer = ContinuousLatents(16, noise=0.5)
    latents = torch.randn(4, 16, 500)
    noisy = quantizer.train()(latents)
    difference = noisy.latents - latents
    assert difference.std().item() == pytest.approx(0.5, rel=0.02)
    assert abs(difference.mean().item()) < 0.01
    torch.testing.assert_close(quantizer.eval()(latents).latents, latents)
    torch.testing.assert_close(noisy.codes, quantizer.encode(latents))
    plain = ContinuousLatents(16).train()(latents)
    assert plain.losses == {}
    torch.testing.assert_close(plain.latents, latents)


def test_the_divergence_is_that_of_two_gaussians() -> None:
    torch.manual_seed(0)
    latents = torch.randn(1, 3, 4)
    found = ContinuousLatents(3, noise=0.5)(latents).losses["divergence"].item()
    posterior = torch.distributions.Normal(latents, 0.5)
    standard = torch.distributions.Normal(0.0, 1.0)
    at_zero = torch.distributions.kl_divergence(torch.distributions.Normal(0.0, 0.5), standard)
    expected = (torch.distributions.kl_divergence(posterior, standard) - at_zero).mean()
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_texts_become_bytes_of_any_language() -> None:
    assert to_bytes("Größe,  十五!") == "grösse 十五".encode()
    assert to_bytes("--") == b""


def test_frames_of_a_recogniser_are_those_of_its_features() -> None:
    assert Recognizer(8, width=16, num_layers=2)(torch.randn(2, 8, 33)).shape == (2, 33, 257)


@pytest.mark.parametrize(("scale", "of"), [("paper", "decoded"), ("tiny", "latents")])
def test_the_spec_says_what_is_heard(scale: str, of: str) -> None:
    spec, _ = find_spec("cont-spt", scale)
    assert isinstance(spec, NeuralCodecSpec)
    assert spec.transcription is not None
    assert spec.transcription.of == of
    assert spec.quantizer.kind == "none"


def test_a_trained_folder_is_a_continuous_codec_without_the_recogniser(corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(0)
    out = tmp_path / "mine"
    CodecLearner(spec_of()).eval().export(out, Origin(corpus, "tiny", 0))
    names = {name.partition(".")[0] for name in load_file(out / "weights.safetensors")}
    assert names == {"encoder", "decoder"}
    codec = load(one(str(out)))
    assert isinstance(codec, Codec)
    assert codec.info.bitrate_bps == 8 * 16 * codec.info.sample_rate_hz / 320
    assert [result for result in run_checks(str(out), long_input_s=2.0) if result.status == "failed"] == []
