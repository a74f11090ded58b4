"""The speech encoder while it learns, against transformers."""

import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel, SeamlessM4TFeatureExtractor, Wav2Vec2BertModel
from transformers.models.hubert.modeling_hubert import _compute_mask_indices

from tokbench.models.speech_encoder import TrainableSpeechEncoder, audible_frames, span_mask
from tokbench.models.ssl import MelEncoder
from tokbench.specs.codec import find_spec
from tokbench.specs.speech_encoder import Masking, SpeechEncoderSpec

BLOCKS = {"width": 32, "num_layers": 4, "num_heads": 2, "feed_forward": 64, "dropout": 0.0}
SMALLER = {
    "hubert": {"network": {**BLOCKS, "channels": [8] * 7, "position_kernel_size": 32}},
    "w2v-bert": {"network": {**BLOCKS, "kernel_size": 15}, "objective": {"layer": 2}},
}


def built(name: str, **network: object) -> TrainableSpeechEncoder:
    changes = {**SMALLER[name], "network": {**SMALLER[name]["network"], **network}}
    if name == "hubert":
        changes["objective"] = {"iterations": [{"num_units": 4}]}
    spec, _ = find_spec(name, changes=changes)
    assert isinstance(spec, SpeechEncoderSpec)
    torch.manual_seed(0)
    return TrainableSpeechEncoder(spec).eval()


@pytest.mark.parametrize(("name", "parameters"), [("hubert", 94_371_712), ("w2v-bert", 580_493_120)])
def test_paper_scale_has_the_parameters_of_the_published_model(name: str, parameters: int) -> None:
    spec, _ = find_spec(name)
    assert isinstance(spec, SpeechEncoderSpec)
    with torch.device("meta"):
        model = TrainableSpeechEncoder(spec)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("name", SMALLER)
def test_tiny_scale_fits_into_three_megabytes_of_half_precision(name: str) -> None:
    spec, _ = find_spec(name, "tiny")
    assert isinstance(spec, SpeechEncoderSpec)
    assert sum(parameter.numel() for parameter in TrainableSpeechEncoder(spec).parameters()) <= 1_450_000


def test_hubert_base_is_transformers_own_default() -> None:
    spec, _ = find_spec("hubert")
    assert isinstance(spec, SpeechEncoderSpec)
    with torch.device("meta"):
        ours, theirs = TrainableSpeechEncoder(spec).network, HubertModel(HubertConfig())
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == shapes


def test_masked_waveforms_are_encoded_as_transformers_does() -> None:
    ours = built("hubert")
    samples = torch.randn(2, 1, 6400)
    mask = torch.zeros(2, ours.num_frames(6400), dtype=torch.bool)
    mask[0, 3:9], mask[1, 10:] = True, True
    found = ours(samples, mask=mask, layer=2)
    padded = ours.encoder.inputs(samples)
    expected = ours.network(padded, mask_time_indices=mask, output_hidden_states=True)
    torch.testing.assert_close(found.last, expected.last_hidden_state)
    torch.testing.assert_close(found.middle, expected.hidden_states[2])
    assert found.local.shape == (2, 19, 8)
    assert not torch.allclose(found.last, ours(samples).last, atol=1e-2)


def test_masked_mels_are_encoded_as_transformers_does() -> None:
    ours = built("w2v-bert")
    assert isinstance(ours.network, Wav2Vec2BertModel)
    samples = 0.1 * torch.randn(2, 1, 6400)
    extract = SeamlessM4TFeatureExtractor()
    inputs = extract([wave[0].numpy() for wave in samples], sampling_rate=16000, return_tensors="pt").input_features
    mask = torch.zeros(2, ours.num_frames(6400), dtype=torch.bool)
    mask[0, 3:9], mask[1, 10:] = True, True
    found = ours(samples, mask=mask, layer=1)
    expected = ours.network(inputs, mask_time_indices=mask, output_hidden_states=True)
    torch.testing.assert_close(found.last, expected.last_hidden_state, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.middle, expected.hidden_states[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.normalized, expected.extract_features, atol=1e-4, rtol=1e-4)


def test_distances_between_frames_can_be_left_out() -> None:
    with_them, without = built("w2v-bert"), built("w2v-bert", has_distances=False)
    vectors = [name for name in with_them.state_dict() if "distance" in name]
    assert len(vectors) == 4
    assert without.network.config.position_embeddings_type is None
    without.load_state_dict({k: v for k, v in with_them.state_dict().items() if k not in vectors})
    for name, parameter in with_them.named_parameters():
        if name in vectors:
            torch.nn.init.zeros_(parameter)
    samples = 0.1 * torch.randn(2, 1, 6400)
    torch.testing.assert_close(without(samples).last, with_them(samples).last)


def test_padding_does_not_change_log_mels_of_the_audio_before_it() -> None:
    encoder = built("w2v-bert").encoder
    assert isinstance(encoder, MelEncoder)
    samples = 0.1 * torch.randn(1, 1, 8000)
    padded = torch.nn.functional.pad(samples, (0, 8000))
    alone, beside = encoder.inputs(samples), encoder.inputs(padded, torch.tensor([8000]))
    torch.testing.assert_close(beside[:, : alone.shape[1]], alone)
    assert not torch.allclose(encoder.inputs(padded)[:, : alone.shape[1]], alone, atol=0.1)


@pytest.mark.parametrize("name", SMALLER)
def test_frames_of_padding_do_not_change_the_others(name: str) -> None:
    ours = built(name)
    samples = 0.1 * torch.randn(2, 1, 9600)
    samples[1, :, 6400:] = 0
    is_audible = audible_frames(samples, 320, ours.num_frames(9600))
    assert is_audible.sum(dim=1).tolist() == [29, 20]
    found = ours(samples, is_audible=is_audible).last[1, :20]
    louder = samples.clone()
    louder[1, :, 6800:] = 0.1 * torch.randn(2800)  # beyond the last window that an audible frame sees
    if name == "hubert":
        # Its first layer normalises over all of time, padding included, as the published one does.
        assert not torch.allclose(ours(louder, is_audible=is_audible).last[1, :20], found, atol=1e-4)
    else:
        torch.testing.assert_close(ours(louder, is_audible=is_audible).last[1, :20], found)


@pytest.mark.parametrize("name", SMALLER)
def test_features_of_a_batch_are_those_of_each_alone(name: str) -> None:
    ours = built(name)
    samples = 0.1 * torch.randn(3, 1, 6400)
    together = ours.features(samples)
    assert together.shape == (3, ours.num_frames(6400), 32)
    torch.testing.assert_close(together[1:2], ours.features(samples[1:2]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, ours(samples).last)


def test_silence_at_the_end_is_not_audible() -> None:
    samples = torch.zeros(3, 1, 3200)
    samples[0, 0, 100] = 1.0
    samples[1, 0, 3199] = 1.0
    assert audible_frames(samples, 320, 9).sum(dim=1).tolist() == [1, 9, 1]


def test_masks_have_the_statistics_of_transformers() -> None:
    masking = Masking(probability=0.08, span=10)
    torch.manual_seed(0)
    ours = span_mask(torch.ones(400, 200, dtype=torch.bool), masking)
    np.random.seed(0)  # noqa: NPY002  (theirs draws from the global generator)
    theirs = _compute_mask_indices((400, 200), mask_prob=0.8, mask_length=10)
    assert float(ours.float().mean()) == pytest.approx(float(theirs.mean()), abs=0.01)
    starts = [
        (torch.diff(rows.int(), dim=1) == 1).float().sum(dim=1).mean().item()
        for rows in (ours, torch.from_numpy(theirs))
    ]
    assert starts[0] == pytest.approx(starts[1], rel=0.05)
    assert float(ours.float().mean(dim=0)[20:180].std()) < 0.05


def test_masks_lie_within_the_audio_and_have_whole_spans() -> None:
    is_audible = torch.arange(60) < torch.tensor([60, 25, 4])[:, None]
    for seed in range(20):
        torch.manual_seed(seed)
        mask = span_mask(is_audible, Masking(probability=0.05, span=10))
        assert not bool((mask & ~is_audible).any())
        assert bool(mask.any(dim=1).all())
        for row in mask[:2].int():
            edges = torch.diff(torch.nn.functional.pad(row, (1, 1)))
            assert int(((edges == -1).nonzero() - (edges == 1).nonzero()).min()) >= 10


def test_masks_start_where_chance_says_so_exactly_as_often() -> None:
    torch.manual_seed(0)
    lone = span_mask(torch.ones(2000, 50, dtype=torch.bool), Masking(probability=0.05, span=1))
    assert float(lone.float().sum(dim=1).mean()) == pytest.approx(2.5, abs=0.05)
    assert set(lone.sum(dim=1).tolist()) == {2, 3}
