"""Spin and DC-Spin: assignments, disguises, what is trained, and the folder that comes out."""

import pickle
from pathlib import Path

import numpy as np
import parselmouth
import pytest
import torch
from scipy.signal import sosfilt, sosfreqz
from tiny import speech_encoders
from tiny.interrupted import assert_resumes
from tiny.voices import voice
from torch import Tensor
from torchaudio.functional import bass_biquad, equalizer_biquad, treble_biquad

from tokbench.audio import Audio
from tokbench.codecs.registry import expand, list_cards, load, one
from tokbench.codecs.speech_encoders import load_speech_encoder, save_speech_encoder
from tokbench.codecs.trained_units import SpinUnits
from tokbench.corpora.base import Corpus
from tokbench.errors import NothingToLoadError, UsageError, WeightsError
from tokbench.models.sinkhorn import equal_shares, swapped_loss
from tokbench.models.spin import CodeHead
from tokbench.specs.codec import find_spec
from tokbench.specs.spin import Equalizer, Perturbation, SpinSpec
from tokbench.testing import run_checks
from tokbench.training.crops import Batch
from tokbench.training.learner import Origin, Progress
from tokbench.training.perturbation import SpeakerPerturbation, band_filters, disguised
from tokbench.training.spin import SpinLearner

BACKBONE = "hubert-base-features:l6"


@pytest.fixture
def backbone(tokbench_home: Path) -> Path:
    """Return the folder of a tiny HuBERT under the name of the published one."""
    source = list_cards()["hubert-base-features"].weights
    assert source is not None
    speech_encoders.save(source, tokbench_home / "weights", num_layers=6)
    return tokbench_home / "weights" / source.folder


def spec_of(name: str = "spin", **changes: object) -> SpinSpec:
    spec, _ = find_spec(
        name, "tiny", changes={"backbones": [BACKBONE], "codebook_size": 8, "dimension": 6, **changes}
    )
    assert isinstance(spec, SpinSpec)
    return spec


def views(seed: int = 0) -> Batch:
    samples = torch.stack([voice(seed=seed + i, duration_s=0.4).samples for i in range(2)])
    disguise = SpeakerPerturbation(Perturbation())
    generator = np.random.default_rng(seed)
    inputs = torch.stack([torch.from_numpy(disguise(s[0].numpy(), 16000, generator))[None] for s in samples])
    return Batch(samples, inputs, ("",) * 2, ("",) * 2, (False,) * 2)


def slowly_equal(cosines: Tensor, epsilon: float, num_iterations: int) -> list[list[float]]:
    """Divide columns and rows in turn, one number at a time (SwAV, appendix A)."""
    table = [[np.exp(value / epsilon) for value in row] for row in cosines.double().tolist()]
    for _ in range(num_iterations):
        sums = [sum(row[v] for row in table) for v in range(len(table[0]))]
        table = [[value / sums[v] / len(sums) for v, value in enumerate(row)] for row in table]
        table = [[value / sum(row) for value in row] for row in table]
    return table


def test_shares_equal_a_slow_reference() -> None:
    torch.manual_seed(0)
    cosines = torch.rand(7, 4) * 2 - 1
    found = equal_shares(cosines, epsilon=0.3, num_iterations=3)
    np.testing.assert_allclose(found.numpy(), slowly_equal(cosines, 0.3, 3), rtol=1e-5)


def test_shares_become_equal() -> None:
    torch.manual_seed(0)
    cosines = torch.rand(60, 5) * 2 - 1
    found = equal_shares(cosines, epsilon=0.2, num_iterations=200)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(60))
    torch.testing.assert_close(found.sum(dim=0), torch.full((5,), 12.0), rtol=1e-4, atol=0)
    few = equal_shares(cosines, epsilon=0.2, num_iterations=1)
    torch.testing.assert_close(few.sum(dim=1), torch.ones(60))
    assert float((few.sum(dim=0) - 12).abs().max()) > 0.1


def test_the_loss_is_that_of_the_published_code() -> None:
    # github.com/vectominist/spin at 73edb7a: compute_sinkhorn and SwavVQDisentangle, on these cosines.
    grid = torch.arange(480, dtype=torch.float64).reshape(40, 12)
    first, second = torch.sin(grid).float(), torch.sin(1.7 * grid + 1).float()
    targets = tuple(equal_shares(cosines, epsilon=0.02, num_iterations=3) for cosines in (first, second))
    assert targets[0][0, 8].item() == pytest.approx(0.9851977, abs=1e-6)
    assert targets[0][0, 2].item() == pytest.approx(0.0125750, abs=1e-6)
    assert swapped_loss(first, second, targets, temperature=0.1).item() == pytest.approx(10.4631557, rel=1e-6)


def test_the_loss_does_not_care_which_view_is_first() -> None:
    torch.manual_seed(0)
    first, second, a, b = (torch.rand(9, 4).softmax(dim=1) for _ in range(4))
    one_way = swapped_loss(first, second, (a, b), temperature=0.1)
    torch.testing.assert_close(one_way, swapped_loss(second, first, (b, a), temperature=0.1))
    assert not torch.allclose(one_way, swapped_loss(first, second, (b, a), temperature=0.1))


def test_filters_are_those_of_torchaudio() -> None:
    spec = Equalizer()
    generator = np.random.default_rng(0)
    gains, qualities = generator.uniform(-12, 12, 10), generator.uniform(2, 5, 10)
    sections = band_filters(spec, 16000, gains_db=gains, qualities=qualities)
    impulse = torch.zeros(512, dtype=torch.float64)
    impulse[0] = 1e-3  # torchaudio clips at full scale
    middles = np.geomspace(60, 7600, 10)
    functions = [bass_biquad, *[equalizer_biquad] * 8, treble_biquad]
    for index, function in enumerate(functions):
        if function is equalizer_biquad:
            theirs = function(impulse, 16000, middles[index], gains[index], qualities[index])
        else:
            theirs = function(impulse, 16000, gains[index], middles[index], qualities[index])
        ours = sosfilt(sections[index : index + 1], impulse.numpy())
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-8)


def test_a_band_has_its_gain_where_it_is() -> None:
    gains = np.zeros(10)
    gains[4] = 9.0
    sections = band_filters(Equalizer(), 16000, gains_db=gains, qualities=np.full(10, 3.0))
    middles = np.geomspace(60, 7600, 10)
    _, response = sosfreqz(sections, worN=middles, fs=16000)
    levels = 20 * np.log10(np.abs(response))
    assert levels[4] == pytest.approx(9.0, abs=1e-6)
    assert np.abs(np.delete(levels, [3, 4, 5])).max() < 0.5
    assert len(band_filters(Equalizer(), 8000, gains_db=gains, qualities=np.full(10, 3.0))) == 8


def median_pitch_hz(samples: np.ndarray) -> float:
    found = parselmouth.Sound(samples.astype(float), sampling_frequency=16000).to_pitch_ac()
    frequencies = found.selected_array["frequency"]
    return float(np.median(frequencies[frequencies > 0]))


def test_a_disguise_moves_the_pitch_and_nothing_in_time() -> None:
    samples = voice(seed=3).samples[0].numpy()
    changed = disguised(samples, 16000, Perturbation(), formants=1.2, pitch=1.5, pitch_range=1.0)
    assert len(changed) == len(samples)
    assert median_pitch_hz(changed) == pytest.approx(1.5 * median_pitch_hz(samples), rel=0.05)
    levels = [np.sqrt(np.convolve(x**2, np.full(800, 1 / 800), "same"))[::400] for x in (samples, changed)]
    assert np.corrcoef(*levels)[0, 1] > 0.9


def test_a_wider_range_ends_above_silence() -> None:
    """A pitch far below the median comes out at less than 0 Hz, where Praat fails, or goes on for ever."""
    pitch_hz = np.repeat([450.0, 110.0], [19_200, 9600])
    phases = 2 * np.pi * np.cumsum(pitch_hz) / 16000
    samples = 0.1 * np.sum([np.sin(number * phases) / number for number in range(1, 15)], axis=0)
    changed = disguised(samples, 16000, Perturbation(), formants=1.15, pitch=1.0, pitch_range=1.41)
    assert len(changed) == len(samples)
    assert np.abs(changed).max() > 0.01


def test_disguises_are_drawn_and_can_be_sent_to_workers() -> None:
    samples = voice(seed=3).samples[0].numpy()
    disguise = pickle.loads(pickle.dumps(SpeakerPerturbation(Perturbation())))  # noqa: S301  (our own)
    first, again, other = (disguise(samples, 16000, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    assert first.dtype == np.float32
    assert first.shape == samples.shape
    assert np.abs(first).max() <= 1


@pytest.mark.parametrize("num_samples", [1, 400, 8000])
def test_audio_without_pitch_is_only_filtered(num_samples: int) -> None:
    noise = (1e-3 * np.random.default_rng(0).standard_normal(num_samples)).astype(np.float32)
    assert np.isfinite(SpeakerPerturbation(Perturbation())(noise, 16000, np.random.default_rng(1))).all()
    silence = np.zeros(num_samples, np.float32)
    assert not SpeakerPerturbation(Perturbation())(silence, 16000, np.random.default_rng(1)).any()


@pytest.mark.usefixtures("backbone")
def test_only_the_last_blocks_and_the_heads_learn() -> None:
    torch.manual_seed(0)
    learner = SpinLearner(spec_of("dc-spin", auxiliary_size=12)).train()
    before = {name: parameter.clone() for name, parameter in learner.named_parameters()}
    optimizer = torch.optim.Adam(learner.optimizers()["units"][1], 1e-2)
    turn = next(iter(learner.turns(views(), Progress(0, 10))))
    assert set(turn.losses) == {"units", "auxiliary"}
    torch.testing.assert_close(turn.total, turn.losses["units"] + turn.losses["auxiliary"])
    turn.total.backward()
    optimizer.step()
    changed = {name for name, parameter in learner.named_parameters() if not torch.equal(parameter, before[name])}
    learning = {name for name, parameter in learner.named_parameters() if parameter.requires_grad}
    assert {name.partition("layers.")[2][:1] for name in learning if "encoder" in name} == {"4", "5"}
    assert changed <= learning
    assert {"model.heads.units.codebook", "model.heads.auxiliary.projection.weight"} <= changed
    assert any("layers.4" in name for name in changed)


@pytest.mark.usefixtures("backbone")
def test_a_checkpoint_without_what_is_frozen_holds_all_that_learns() -> None:
    learner = SpinLearner(spec_of())
    modules = dict(learner.named_modules())
    frozen = {id(parameter) for name in learner.frozen for parameter in modules[name].parameters()}
    rest = {name for name, parameter in learner.named_parameters() if id(parameter) not in frozen}
    learning = {name for name, parameter in learner.named_parameters() if parameter.requires_grad}
    assert rest - learning == {"model.encoder.model.masked_spec_embed"}
    assert learning <= rest
    assert any(name.endswith("feature_extractor") for name in learner.frozen)


@pytest.mark.usefixtures("backbone")
def test_codes_have_unit_length_before_every_step() -> None:
    learner = SpinLearner(spec_of())
    head = learner.model.codes()["units"]
    with torch.no_grad():
        head.codebook.mul_(torch.linspace(0.5, 3, 8)[:, None])
    next(iter(learner.turns(views(), Progress(0, 10))))
    torch.testing.assert_close(head.codebook.norm(dim=1), torch.ones(8))
    with torch.no_grad():
        cosines = head(torch.randn(20, head.projection.in_features))
    assert float(cosines.abs().max()) <= 1 + 1e-6


@pytest.mark.usefixtures("backbone")
def test_units_learn_to_agree() -> None:
    torch.manual_seed(0)
    learner = SpinLearner(spec_of()).train()
    optimizer = torch.optim.Adam(learner.optimizers()["units"][1], 3e-3)
    batches = [views(10 * number) for number in range(3)]
    first = learner.validate(batches[0])["units"]
    for step in range(30):
        turn = next(iter(learner.turns(batches[step % 3], Progress(0, 10))))
        optimizer.zero_grad()
        turn.total.backward()
        optimizer.step()
    assert learner.training
    assert learner.validate(batches[0])["units"] < 0.9 * first
    health = learner.health()
    assert 0 < health["agreement"] <= 1
    assert health["dead_codes"] == 0


def test_a_trained_folder_is_a_unit_tokenizer(
    backbone: Path, corpus: Corpus, unseen_voice: Audio, tmp_path: Path
) -> None:
    del backbone
    torch.manual_seed(0)
    learner = SpinLearner(spec_of("dc-spin", auxiliary_size=12)).eval()
    out = tmp_path / "mine"
    learner.export(out, Origin(corpus, "tiny", 0))
    settings = [reference.setting for reference in expand(f"{out}:all")]
    assert settings == ["units", "auxiliary", "units-dedup", "auxiliary-dedup"]
    for setting, size in (("units", 8), ("auxiliary", 12)):
        tokenizer = load(one(f"{out}:{setting}"))
        codes = tokenizer.encode(unseen_voice).streams[0]
        assert codes.codebook_size == size
        head = learner.model.codes()[setting]
        with torch.inference_mode():
            cosines = head(learner.model.encoder.features(unseen_voice.samples[None])[0])
        # Weights were rounded to half precision.
        assert float((codes.indices[0] == cosines.argmax(dim=1)).float().mean()) > 0.9
        latents = tokenizer.latents(unseen_voice).values
        torch.testing.assert_close(latents.norm(dim=1), torch.ones(len(latents)))
    units = load(one(f"{out}:units")).encode(unseen_voice).streams[0].indices
    runs = load(one(f"{out}:units-dedup")).encode(unseen_voice).streams[0].indices
    assert torch.equal(runs[0], torch.unique_consecutive(units[0]))
    info = load(one(f"{out}:units")).info
    assert info.trained_on == ("librispeech", "tiny")
    assert info.bitrate_bps == 150.0
    assert info.licence == "Apache-2.0 AND CC0-1.0"
    assert [r for r in run_checks(f"{out}:units", long_input_s=2.0) if r.status == "failed"] == []


def test_wrong_heads_are_told(backbone: Path, corpus: Corpus, tmp_path: Path) -> None:
    del backbone
    out = tmp_path / "mine"
    SpinLearner(spec_of()).export(out, Origin(corpus, "tiny", 0))
    with pytest.raises(WeightsError, match=r"heads\.safetensors: expected a codebook called 'other'"):
        SpinUnits(layer=6, codebook="other", weights=out)


@pytest.mark.parametrize("name", ["hubert-base-features", "wavlm-large-features", "w2v-bert-2-features"])
def test_an_encoder_is_written_as_it_was_read(name: str, tokbench_home: Path, tmp_path: Path) -> None:
    source = list_cards()[name].weights
    assert source is not None
    speech_encoders.save(source, tokbench_home / "weights", num_layers=3)
    first, rate_hz = load_speech_encoder(tokbench_home / "weights" / source.folder, layer=2)
    save_speech_encoder(first, tmp_path / "again", sample_rate_hz=rate_hz)
    second, second_hz = load_speech_encoder(tmp_path / "again", layer=2)
    assert second_hz == rate_hz
    samples = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(second(samples), first(samples), atol=2e-2, rtol=2e-2)


def test_an_encoder_that_is_not_there_is_told() -> None:
    with pytest.raises(NothingToLoadError):
        SpinLearner(spec_of())
    with pytest.raises(UsageError, match="expected a speech encoder"):
        SpinLearner(spec_of(backbones=["mfcc"]))


@pytest.mark.usefixtures("backbone")
def test_another_sample_rate_is_told() -> None:
    with pytest.raises(UsageError, match="is for 16000 Hz, and spin for 8000 Hz"):
        SpinLearner(spec_of(sample_rate_hz=8000))


def test_a_head_compares_at_unit_length() -> None:
    torch.manual_seed(0)
    head = CodeHead(5, 4, dimension=3)
    frames = torch.randn(6, 5)
    projected = head.projection(frames)
    expected = torch.nn.functional.cosine_similarity(projected[:, None], head.codebook[None], dim=2)
    torch.testing.assert_close(head(frames), expected)


@pytest.mark.usefixtures("backbone")
def test_an_interrupted_run_ends_as_if_it_had_not_been(corpus: Corpus, tmp_path: Path) -> None:
    changes = {
        "backbones": [BACKBONE],
        "codebook_size": 8,
        "dimension": 6,
        "training": {"batch_size": 2, "crop_s": 0.4},
    }
    assert_resumes("spin", corpus, tmp_path, changes, weights="heads.safetensors")
