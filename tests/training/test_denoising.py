"""A codec that leaves noise out on request: it is told in training, and its card has a setting for either."""

from pathlib import Path

import pytest
import torch
from published_codecs import narrow
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.card import read_card
from tokbench.codecs.registry import load, one
from tokbench.corpora.base import Corpus
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.training.codec import CodecLearner
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress


def spec_of(side: str) -> NeuralCodecSpec:
    half = {"num_filters": 2}
    return narrow(
        "soundstream",
        {
            "sample_rate_hz": 16000,
            "dimension": 8,
            "encoder": half,
            "decoder": half,
            "quantizer": {"num_codebooks": 2, "codebook_size": 16, "kmeans_init": False, "dropout": 0.0},
            "discriminators": [],
            "settings": [],
            "denoising": side,
            "augmentation": {"target": "either", "noise": {"probability": 1.0, "snr_db": [0.0, 10.0]}},
            "losses": {"reconstruction": [{"kind": "wave", "weight": 1.0}]},
        },
    )


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_only_what_is_wanted_clean_teaches_the_switch_in_that_position(side: str) -> None:
    torch.manual_seed(0)
    learner = CodecLearner(spec_of(side)).train()
    clean = 0.1 * torch.randn(2, 1, 3200)
    noisy = clean + 0.1 * torch.randn(2, 1, 3200)
    for wants_clean in ((False, False), (True, True)):
        wanted = clean if wants_clean[0] else noisy
        batch = Batch(wanted, noisy, ("", ""), ("a", "b"), (False, False), wants_clean)
        learner.zero_grad()
        for turn in learner.turns(batch, Progress(5, 10)):
            turn.total.backward()
        assert learner.codec.film is not None
        gradient = learner.codec.film.scale.grad
        assert isinstance(gradient, Tensor)
        assert gradient.abs().sum(dim=1).gt(0).tolist() == [not wants_clean[0], wants_clean[0]]


def test_a_vocoder_stays_as_it_is_while_the_encoder_learns_to_leave_noise_out() -> None:
    torch.manual_seed(0)
    changes = {
        "discriminators": [],
        "settings": [],
        "augmentation": {"target": "clean", "noise": {"probability": 1.0, "snr_db": [0.0, 10.0]}},
        "training": {"denoising_from": 0.9},
    }
    learner = CodecLearner(narrow("audiodec", changes)).train()
    assert learner.codec.vocoder is not None
    samples = 0.1 * torch.randn(1, 1, 9600)
    batch = Batch(samples, samples, ("",), ("a",), (False,), (True,))
    *_, last = (turn.optimizer for turn in learner.turns(batch, Progress(95, 100)))
    assert last == "codec"
    learning = {name for name, each in learner.codec.named_parameters() if each.requires_grad}
    assert learning
    assert all(name.startswith("encoder.") for name in learning)
    *_, last = (turn.optimizer for turn in learner.turns(batch, Progress(80, 100)))
    assert last == "vocoder"


def test_the_card_has_a_setting_for_either(tmp_path: Path, corpus: Corpus) -> None:
    torch.manual_seed(0)
    learner = CodecLearner(spec_of("encoder"))
    assert learner.codec.film is not None
    torch.nn.init.constant_(learner.codec.film.shift[1], 0.5)
    folder = tmp_path / "quiet"
    folder.mkdir()
    learner.export(folder, Origin(corpus, "tiny", 0))
    card = read_card(folder / "card.toml")
    assert list(card.settings) == ["1x16-denoised", "1x16", "2x16-denoised", "2x16"]
    assert card.default_setting == "2x16"
    assert card.bitrate_bps["2x16-denoised"] == card.bitrate_bps["2x16"] == 2 * 4 * 50
    audio = Audio(0.1 * torch.randn(1, 3200), 16000)
    plain, denoised = (load(one(f"{folder}:{setting}")) for setting in ("2x16", "2x16-denoised"))
    difference = denoised.latents(audio).values - plain.latents(audio).values
    torch.testing.assert_close(difference, torch.full_like(difference, 0.5), atol=1e-3, rtol=0)
