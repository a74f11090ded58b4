"""Training a speech encoder: its losses against slow references, its units, and the folder that comes out."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny.interrupted import assert_resumes
from transformers import AutoFeatureExtractor, AutoModel, Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

from tokbench.audio import Audio
from tokbench.codecs.registry import expand, load, one
from tokbench.corpora.base import Corpus
from tokbench.errors import SpecError
from tokbench.models.spectral_frames import MfccFrames
from tokbench.models.speech_encoder import TrainableSpeechEncoder, audible_frames
from tokbench.specs.codec import find_spec, read_spec
from tokbench.specs.speech_encoder import Iteration, MaskedUnits, SpeechEncoderSpec
from tokbench.testing import run_checks
from tokbench.training.contrastive import GumbelQuantizer, contrast, distractors
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress
from tokbench.training.masked_units import UnitHead, UnitTargets, mean_over
from tokbench.training.speech_encoder import SpeechEncoderLearner
from tokbench.training.train import train

CLUSTERING = {"max_frames": 300, "batch_frames": 100, "max_passes": 3, "num_starts": 1, "max_no_improvement": 5}
BLOCKS = {"width": 32, "num_layers": 2, "num_heads": 2, "feed_forward": 48}
MASKED_UNITS = {
    "iterations": [{"num_units": 10}, {"starts": 0.5, "layer": 1, "num_units": 7}],
    "clustering": CLUSTERING,
}
TRAINING = {"num_steps": 4, "batch_size": 3, "crop_s": 0.6}
CHANGES = {
    "hubert": {
        "network": {"kind": "transformer", **BLOCKS, "channels": [8] * 7, "position_kernel_size": 32},
        "objective": MASKED_UNITS,
        "training": TRAINING,
    },
    "hubert of mels": {"network": BLOCKS, "objective": MASKED_UNITS, "training": TRAINING},
    "w2v-bert": {
        "network": BLOCKS,
        "objective": {"layer": 1, "codebook_size": 8, "code_dimension": 16, "comparison_dimension": 16},
        "training": TRAINING,
    },
}
"""By the name of the spec, which is made smaller still: at tiny scale, ``hubert`` hears mels, else the waveform."""


def spec_of(name: str, **objective: object) -> SpeechEncoderSpec:
    changes = {**CHANGES[name], "objective": {**CHANGES[name]["objective"], **objective}}  # type: ignore[dict-item]
    spec, _ = find_spec(name.partition(" ")[0], "tiny", changes=changes)
    assert isinstance(spec, SpeechEncoderSpec)
    return spec


def batch(seed: int = 0, num_samples: int = 9600) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    samples = 0.1 * torch.randn(3, 1, num_samples, generator=generator)
    return Batch(samples, samples, ("",) * 3, ("",) * 3, (False,) * 3)


def tones(seed: int) -> Batch:
    """Return pairs of notes, each as long as a span, of which the second follows from the first."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(3, (3, 1, 3), generator=generator)
    pitch_hz = torch.stack([300 * 2**first, 450 * 2**first], dim=3).flatten(2).repeat_interleave(1600, dim=2)
    samples = 0.3 * torch.sin(2 * torch.pi * pitch_hz.cumsum(dim=2) / 16000)
    return Batch(samples, samples, ("",) * 3, ("",) * 3, (False,) * 3)


def test_scores_are_the_papers() -> None:
    torch.manual_seed(0)
    head = UnitHead(6, 4, dimension=5, temperature=0.1)
    frames = torch.randn(3, 6)
    found = head(frames)
    projected, units = head.projection(frames).tolist(), head.units.tolist()
    for n in range(3):
        for v in range(4):
            inner = sum(a * b for a, b in zip(projected[n], units[v], strict=True))
            lengths = math.hypot(*projected[n]) * math.hypot(*units[v])
            assert found[n, v].item() == pytest.approx(inner / lengths / 0.1, rel=1e-4)


@pytest.mark.parametrize("masked_share", [1.0, 0.7])
def test_the_loss_is_the_cross_entropy_of_masked_frames(masked_share: float) -> None:
    spec = spec_of("hubert", masked_share=masked_share, feature_penalty=2.0)
    torch.manual_seed(0)
    learner = SpeechEncoderLearner(spec).eval()
    learner.prepare(Progress(0, 4), batch)
    samples = batch(5).samples
    encoded = learner.encoder(samples)
    num_frames = encoded.last.shape[1]
    mask = torch.rand(3, num_frames) < 0.4
    is_audible = torch.arange(num_frames) < torch.tensor([num_frames, num_frames, 12])[:, None]
    mask &= is_audible
    total, losses = learner.objective.losses(
        samples, encoded, mask=mask, is_audible=is_audible, progress=Progress(0, 4)
    )
    head, targets = learner.get_submodule("objective.heads.0"), learner.get_submodule("objective.targets.0")
    units = targets(samples)
    sums = {True: [0.0, 0], False: [0.0, 0]}
    for b in range(3):
        for f in range(num_frames):
            if is_audible[b, f]:
                scores = head(encoded.last[b, f][None])[0].tolist()
                error = math.log(sum(map(math.exp, scores))) - scores[units[b, f]]
                sums[bool(mask[b, f])][0] += error
                sums[bool(mask[b, f])][1] += 1
    masked, unmasked = (sums[key][0] / sums[key][1] for key in (True, False))
    penalty = encoded.local.square().mean().item()
    assert losses["masked"].item() == pytest.approx(masked, rel=1e-4)
    assert total.item() == pytest.approx(
        masked_share * masked + (1 - masked_share) * unmasked + 2 * penalty, rel=1e-4
    )


def test_gradients_of_the_convolutions_are_scaled() -> None:
    gradients = []
    for scale in (1.0, 0.1):
        torch.manual_seed(0)
        learner = SpeechEncoderLearner(spec_of("hubert", feature_gradient=scale)).eval()
        learner.prepare(Progress(0, 4), batch)
        torch.manual_seed(1)
        turn = next(iter(learner.turns(batch(3), Progress(0, 4))))
        turn.total.backward()
        named = dict(learner.encoder.network.named_parameters())
        both = ("feature_extractor.conv_layers.0.conv.weight", "feature_projection.projection.weight")
        gradients.append([named[name].grad for name in both])
    torch.testing.assert_close(gradients[1][0], 0.1 * gradients[0][0])
    torch.testing.assert_close(gradients[1][1], gradients[0][1])


def test_first_units_are_those_of_mfccs_in_the_middle_of_each_window() -> None:
    spec = spec_of("hubert")
    assert isinstance(spec.objective, MaskedUnits)
    targets = UnitTargets(spec, spec.objective.iterations[0])
    samples = batch(2).samples
    found = targets.features(samples)
    mfccs = MfccFrames(sample_rate_hz=16000, hop_ms=10.0, num_cepstra=13, num_mels=23, deltas=True)(samples[1])
    assert found.shape == (3, 29, 39)
    # A window of 400 samples from 320 i on has its middle at 320 i + 200; that of frame j is at 160 j + 80.
    torch.testing.assert_close(found[1], mfccs[1:59:2])
    centroids = found[0, :10]
    targets.units.replace_(centroids)
    distances = torch.cdist(found, centroids.expand(3, -1, -1))
    assert torch.equal(targets(samples), distances.argmin(dim=2))


@pytest.mark.parametrize("name", ["hubert", "hubert of mels"])
def test_first_units_may_be_of_normalized_cepstra(name: str) -> None:
    spec = spec_of(name)
    plain = UnitTargets(spec, Iteration(num_units=4))
    normalized = UnitTargets(spec, Iteration(num_units=4, cepstra="normalized"))
    assert normalized.units.centroids.shape == (4, 36)
    samples = batch(2).samples
    samples[0, 0, 6400:] = 0  # padding: the first 20 frames are audible
    found, mfccs = normalized.features(samples), plain.features(samples)
    kept = [place for place in range(39) if place not in {0, 13, 26}]
    for crop, num_audible in ((0, 20), (1, 29)):
        for place, coefficient in enumerate(kept):
            values = mfccs[crop, :, coefficient].tolist()
            mean = sum(values[:num_audible]) / num_audible
            deviation = math.sqrt(sum((value - mean) ** 2 for value in values[:num_audible]) / num_audible)
            expected = [(value - mean) / deviation for value in values]
            assert found[crop, :, place].tolist() == pytest.approx(expected, abs=2e-3)
    # 12 dB more raise all bands by as much.
    louder = normalized.features(4 * samples)
    torch.testing.assert_close(louder[1], found[1], atol=1e-2, rtol=0)
    assert float((plain.features(4 * samples) - mfccs)[1, :, 0].min()) > 5.0


def test_a_crop_of_one_frame_has_normalized_cepstra() -> None:
    targets = UnitTargets(spec_of("hubert of mels"), Iteration(num_units=4, cepstra="normalized"))
    samples = torch.zeros(1, 1, 9600)
    samples[0, 0, 0] = 0.5
    assert bool(targets.features(samples).isfinite().all())


@pytest.mark.parametrize("number", [0, 1])
def test_units_do_not_depend_on_the_precision_of_training(number: int) -> None:
    torch.manual_seed(0)
    learner = SpeechEncoderLearner(spec_of("hubert")).eval()
    learner.prepare(Progress(2, 4), batch)
    targets = learner.objective._targets[number]
    samples = batch(3).samples
    expected = targets(samples)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(targets(samples), expected)
        turn = next(iter(learner.train().turns(batch(3), Progress(2, 4))))
    assert turn.total.isfinite()


def test_later_units_are_clusters_of_a_layer_of_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    learner = SpeechEncoderLearner(spec_of("hubert")).eval()
    learner.prepare(Progress(0, 4), batch)
    assert learner.objective.get_buffer("num_started") == 1
    before = {name: value.clone() for name, value in learner.objective.targets[1].state_dict().items()}
    learner.prepare(Progress(1, 4), batch)
    after = learner.objective.targets[1].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    learner.prepare(Progress(2, 4), batch)
    assert learner.objective.get_buffer("num_started") == 2
    samples = batch(7).samples
    padded = learner.encoder.encoder.inputs(samples)
    hidden = learner.encoder.network(padded, output_hidden_states=True).hidden_states[1]
    targets = learner.objective._targets[1]
    torch.testing.assert_close(targets.features(samples), hidden)
    # What the model learns from here on leaves its targets as they are.
    with torch.no_grad():
        for parameter in learner.encoder.parameters():
            parameter.mul_(0.5)
    torch.testing.assert_close(targets.features(samples), hidden)


def test_a_resumed_run_has_the_units_of_the_first() -> None:
    learners = []
    for seed in range(2):
        torch.manual_seed(seed)
        learners.append(SpeechEncoderLearner(spec_of("hubert")).eval())
    learners[0].prepare(Progress(2, 4), batch)
    learners[1].load_state_dict(learners[0].state_dict())

    def no_more(_number: int) -> Batch:
        raise AssertionError

    learners[1].prepare(Progress(3, 4), no_more)
    samples = batch(9).samples
    assert torch.equal(*(learner.objective._targets[1](samples) for learner in learners))


def test_an_iteration_may_begin_with_a_new_network() -> None:
    for restart in (False, True):
        iterations = [{"num_units": 10}, {"starts": 0.5, "layer": 1, "num_units": 7, "restart": restart}]
        learner = SpeechEncoderLearner(spec_of("hubert", iterations=iterations)).eval()
        learner.prepare(Progress(0, 4), batch)
        first = learner.encoder(batch().samples).last
        learner.prepare(Progress(2, 4), batch)
        assert torch.equal(learner.encoder(batch().samples).last, first) is not restart


def test_padding_is_neither_clustered_nor_predicted() -> None:
    samples = batch().samples.clone()
    samples[:, :, 3200:] = 0
    silent = Batch(samples, samples, ("",) * 3, ("",) * 3, (True,) * 3)
    iterations = [{"num_units": 5}]
    learner = SpeechEncoderLearner(spec_of("hubert", iterations=iterations))
    learner.prepare(Progress(0, 4), lambda _number: silent)
    targets = learner.objective._targets[0]
    frames = targets.features(samples)[audible_frames(samples, 320, 29)]
    assert len(frames) == 3 * 10
    # Centroids are means of audible frames: none is near the padding's.
    assert float(torch.cdist(targets.units.centroids, targets.features(samples)[:, -1]).min()) > 1.0
    turn = next(iter(learner.turns(silent, Progress(0, 4))))
    assert math.isfinite(turn.total.item())


def test_a_gumbel_quantizer_is_that_of_wav2vec2() -> None:
    config = Wav2Vec2Config(
        num_codevector_groups=2, num_codevectors_per_group=5, codevector_dim=6, conv_dim=(8,) * 7
    )
    torch.manual_seed(0)
    theirs, ours = (
        Wav2Vec2GumbelVectorQuantizer(config),
        GumbelQuantizer(8, num_groups=2, codebook_size=5, dimension=6),
    )
    torch.nn.init.uniform_(theirs.codevectors)
    ours.scores.load_state_dict(theirs.weight_proj.state_dict())
    with torch.no_grad():
        ours.codebooks.copy_(theirs.codevectors.reshape(2, 5, 3))
    frames = torch.randn(40, 8)
    theirs.temperature = 0.7
    vectors = []
    for module in (theirs.train(), ours.train()):
        torch.manual_seed(3)
        out = module(frames[None])[0][0] if module is theirs else ours(frames, 0.7).vectors
        vectors.append(out)
    torch.testing.assert_close(vectors[1], vectors[0])
    torch.manual_seed(3)
    _, perplexity = theirs(frames[None], torch.ones(1, 40, dtype=torch.bool))
    # wav2vec 2.0 adds the perplexities of the groups: its diversity is (G V - perplexity) / (G V).
    assert ours(frames, 0.7).unused.item() == pytest.approx((10 - perplexity.item()) / 10, rel=1e-4)
    theirs.eval()
    ours.eval()
    torch.testing.assert_close(ours(frames, 0.7).vectors, theirs(frames[None])[0][0])


def test_the_contrast_is_that_of_wav2vec2() -> None:
    torch.manual_seed(0)
    context, codes = torch.randn(6, 4), torch.randn(6, 4)
    codes[4] = codes[1]
    others = distractors(torch.tensor([4, 2]), 3)
    is_same = (codes[others] == codes[:, None]).all(dim=2)
    found = contrast(context, codes, others, is_same)
    negatives = codes[others].transpose(0, 1)[:, None]
    expected = Wav2Vec2ForPreTraining.compute_contrastive_logits(codes[None, None], negatives, context[None], 1.0)
    neg_is_pos = (codes[None, None] == negatives).all(-1)
    expected[1:][neg_is_pos] = -torch.inf
    torch.testing.assert_close(found, expected[:, 0].T)


def test_distractors_are_other_frames_of_the_same_example() -> None:
    torch.manual_seed(0)
    drawn = distractors(torch.tensor([5, 1, 3]), 400)
    assert drawn.shape == (9, 400)
    for frame in range(5):
        assert set(drawn[frame].tolist()) == set(range(5)) - {frame}
        assert np.bincount(drawn[frame], minlength=5).max() < 150
    assert set(drawn[5].tolist()) == {5}
    for frame in range(6, 9):
        assert set(drawn[frame].tolist()) == set(range(6, 9)) - {frame}


def test_the_contrastive_total_is_the_weighted_sum() -> None:
    torch.manual_seed(0)
    learner = SpeechEncoderLearner(spec_of("w2v-bert", diversity=0.3, prediction=0.7))
    turn = next(iter(learner.turns(batch(), Progress(1, 4))))
    parts = turn.losses
    expected = parts["contrast"] + 0.3 * parts["unused_codes"] + 0.7 * parts["prediction"]
    torch.testing.assert_close(turn.total, expected)
    turn.total.backward()
    # The blocks after the middle layer learn from the prediction, the codebooks from the contrast.
    assert learner.objective.get_parameter("quantizer.codebooks").grad.abs().sum() > 0
    assert learner.encoder.network.encoder.layers[1].final_layer_norm.weight.grad.abs().sum() > 0


def test_the_choice_of_codes_cools_down() -> None:
    objective = SpeechEncoderLearner(spec_of("w2v-bert")).objective
    found = [objective._gumbel_temperature(Progress(step, 4)) for step in (0, 2, 4)]
    assert found == pytest.approx([2.0, 1.0, 0.5])


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_learns(name: str) -> None:
    torch.manual_seed(0)
    learner = SpeechEncoderLearner(spec_of(name))
    learner.prepare(Progress(0, 4), tones)
    parameters = learner.optimizers()["encoder"][1]
    optimizer = torch.optim.Adam(parameters, 3e-3)
    held_out = tones(77)
    first = learner.validate(held_out)
    for step in range(40):
        turn = next(iter(learner.turns(tones(step), Progress(0, 4))))
        optimizer.zero_grad()
        turn.total.backward()
        optimizer.step()
    last = learner.validate(held_out)
    key = "prediction" if name == "w2v-bert" else "masked"
    assert last[key] < 0.95 * first[key]
    assert learner.training
    health = learner.health()
    assert 0 < health["masked_accuracy"] <= 1
    assert 0 <= health["dead_codes"] < 1


def test_validation_repeats_and_leaves_chance_alone() -> None:
    learner = SpeechEncoderLearner(spec_of("w2v-bert"))
    state = torch.random.get_rng_state()
    first, second = learner.validate(batch()), learner.validate(batch())
    assert {name: value.item() for name, value in first.items()} == {k: v.item() for k, v in second.items()}
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_mean_of_nothing_is_zero() -> None:
    assert mean_over(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([True, True, False])) == 2
    assert mean_over(torch.ones(2), torch.zeros(2, dtype=torch.bool)) == 0


@pytest.mark.parametrize("name", CHANGES)
def test_a_trained_folder_is_a_tokenizer_and_a_model_of_transformers(
    name: str, corpus: Corpus, unseen_voice: Audio, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    learner = SpeechEncoderLearner(spec_of(name))
    out = tmp_path / "mine"
    learner.export(out, Origin(corpus, "tiny", 0))
    assert [reference.setting for reference in expand(f"{out}:all")] == ["l1", "l2"]
    tokenizer = load(one(f"{out}:l1"))
    found = tokenizer.latents(unseen_voice)
    assert found.values.shape == (74, 32)
    assert tokenizer.info.trained_on == ("tiny",)
    assert [r for r in run_checks(f"{out}:l2", long_input_s=2.0) if r.status == "failed"] == []
    theirs, extract = AutoModel.from_pretrained(out), AutoFeatureExtractor.from_pretrained(out)
    inputs = extract(unseen_voice.samples[0].numpy(), sampling_rate=16000, return_tensors="pt")
    inputs.pop("attention_mask", None)
    with torch.inference_mode():
        expected = theirs.eval().float()(**inputs, output_hidden_states=True).hidden_states[1][0]
    torch.testing.assert_close(found.values, expected[:74], atol=1e-4, rtol=1e-3)
    ours = trained_again(out, learner).features(unseen_voice.samples[None])[0].detach()
    assert float((ours - load(one(f"{out}:l2")).latents(unseen_voice).values).abs().max()) < 0.05


def trained_again(out: Path, learner: SpeechEncoderLearner) -> TrainableSpeechEncoder:
    """Return the encoder that the spec in ``out`` builds, with the weights of ``learner``."""
    spec = read_spec(out / "spec.toml", "tiny")
    assert isinstance(spec, SpeechEncoderSpec)
    model = TrainableSpeechEncoder(spec)
    model.load_state_dict(learner.encoder.state_dict())
    return model.eval()


def test_units_can_be_clustered_on_a_trained_folder(corpus: Corpus, tmp_path: Path, unseen_voice: Audio) -> None:
    SpeechEncoderLearner(spec_of("hubert")).export(tmp_path / "mine", Origin(corpus, "tiny", 0))
    scale = "\n".join(f"{key} = {value}" for key, value in {**CLUSTERING, "reassignment_ratio": 0.0}.items())
    spec = tmp_path / "mine-km8.toml"
    spec.write_text(
        f'name = "mine-km8"\nkind = "unit-kmeans"\nfeatures = "{tmp_path / "mine"}"\nsetting = "l1"\n'
        f"num_units = 8\n[scales.tiny]\n{scale}\n"
    )
    out = train(str(spec), corpus, tmp_path / "units")
    # It brings its model along.
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    codes = load(one(str(out))).encode(unseen_voice)
    assert codes.streams[0].codebook_size == 8
    assert codes.streams[0].indices.shape == (1, 74)


def test_every_contradiction_is_told_at_once() -> None:
    changes = {
        "network": {"num_heads": 5, "strides": [5, 2]},
        "objective": {"iterations": [{"starts": 0.1, "num_units": 3}, {"layer": 9, "num_units": 4}]},
    }
    with pytest.raises(SpecError) as error:
        find_spec("hubert", changes=changes)
    for sentence in (
        r"network.num_heads: expected a divisor of width (768), found 5",
        "channels, kernel_sizes and strides have 7, 7, 2 values",
        "expected starts that rise from 0, found [0.1, 0.0]",
    ):
        assert sentence in str(error.value)
    with pytest.raises(SpecError, match=r"layer 30 of 24"):
        find_spec("w2v-bert", changes={"objective": {"layer": 30}})
    with pytest.raises(SpecError, match=r"expected a divisor of code_dimension, found 3"):
        find_spec("w2v-bert", changes={"objective": {"num_groups": 3}})
    with pytest.raises(SpecError, match="no other has learnt yet"):
        find_spec("hubert", changes={"objective": {"iterations": [{"layer": 1, "num_units": 3}]}})


@pytest.mark.parametrize("name", CHANGES)
def test_an_interrupted_run_ends_as_if_it_had_not_been(name: str, corpus: Corpus, tmp_path: Path) -> None:
    spec = name.partition(" ")[0]
    assert_resumes(spec, corpus, tmp_path, CHANGES[name], weights="model.safetensors")
