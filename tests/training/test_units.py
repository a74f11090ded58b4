"""K-means units fitted from a spec: on features that need no weights, and on a tiny HuBERT."""

import re
import tracemalloc
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.cluster import MiniBatchKMeans
from tiny import speech_encoders

from tokbench.audio import Audio
from tokbench.codecs.registry import expand, fingerprint, list_cards, load, one
from tokbench.corpora.base import Corpus
from tokbench.errors import CorpusError, SpecError, UnknownNameError, WeightsError, WeightsNotFoundError
from tokbench.specs.codec import find_spec, list_specs
from tokbench.specs.speech_encoder import SpeechEncoderSpec
from tokbench.specs.unit_kmeans import MiniBatch, UnitKmeansSpec
from tokbench.testing import run_checks
from tokbench.training.train import train
from tokbench.training.units import fit_centroids

SPEC = """
name = "mini"
kind = "unit-kmeans"
features = "{features}"
setting = "{setting}"
num_units = 24

[scales.tiny]
max_frames = 400
batch_frames = 100
max_passes = 5
num_starts = 2
max_no_improvement = 10
reassignment_ratio = 0.0
"""
OPTIONS = MiniBatch(
    max_frames=10**6, batch_frames=100, max_passes=5, num_starts=2, max_no_improvement=10, reassignment_ratio=0.1
)


def written(folder: Path, features: str, setting: str) -> str:
    path = folder / "mini.toml"
    path.write_text(SPEC.format(features=features, setting=setting))
    return str(path)


@pytest.fixture
def spec(tmp_path: Path) -> str:
    return written(tmp_path, "mfcc", "39x100hz")


@pytest.fixture
def hubert(tokbench_home: Path) -> Path:
    """Return the folder of weights, with a HuBERT of three layers."""
    source = list_cards()["hubert-base-features"].weights
    assert source is not None
    speech_encoders.save(source, tokbench_home / "weights", num_layers=9)
    return tokbench_home / "weights"


def test_units_of_mfcc_need_nothing_but_a_corpus(
    spec: str, corpus: Corpus, tmp_path: Path, unseen_voice: Audio
) -> None:
    out = train(spec, corpus, tmp_path / "my-units")
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == ["card.toml", "centroids/centroids.safetensors", "log/lock", "log/run.json", "spec.toml"]
    labels = [reference.label for reference in expand(f"{out}:all")]
    assert labels == ["my-units:39x100hz-km24", "my-units:39x100hz-km24-dedup"]
    tokenizer = load(one(str(out)))
    assert tokenizer.info.bitrate_bps == pytest.approx(100 * np.log2(24))
    assert tokenizer.info.trained_on == ("tiny",)
    assert tokenizer.info.licence == "CC0-1.0"
    units = tokenizer.encode(unseen_voice).streams[0].indices
    assert len(units.unique()) > 5
    frames = load(one("mfcc")).latents(unseen_voice).values
    np.testing.assert_allclose(tokenizer.latents(unseen_voice).values.numpy(), frames.numpy(), atol=1e-4)


def test_units_of_a_speech_encoder_find_it_where_it_lies(
    hubert: Path, corpus: Corpus, tmp_path: Path, unseen_voice: Audio
) -> None:
    out = train(written(tmp_path, "hubert-base-features", "l6"), corpus, tmp_path / "units")
    tokenizer = load(one(str(out)))
    features = load(one("hubert-base-features:l6"))
    assert np.array_equal(tokenizer.latents(unseen_voice).values, features.latents(unseen_voice).values)
    assert "librispeech" in tokenizer.info.trained_on
    assert one(str(out)).card.num_parameters == tokenizer.info.num_parameters > features.info.num_parameters
    assert len(tokenizer.encode(unseen_voice).streams[0].indices.unique()) > 5
    # No weights of the encoder are copied: without them, the units ask for them.
    assert sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) < 10_000
    (hubert / "hubert-base-ls960" / "config.json").unlink()
    with pytest.raises(WeightsNotFoundError, match="facebook/hubert-base-ls960 on the Hugging Face hub"):
        load(one(str(out)))


@pytest.mark.parametrize(
    ("features", "setting"), [("log-mel", "80x50hz"), ("mfcc", "13x100hz"), ("hubert-base-features", "l9")]
)
@pytest.mark.usefixtures("hubert")
def test_fitted_units_conform(features: str, setting: str, corpus: Corpus, tmp_path: Path) -> None:
    out = train(written(tmp_path, features, setting), corpus, tmp_path / "units")
    results = run_checks(f"{out}:all", long_input_s=3.0)
    assert [result for result in results if result.status == "failed"] == []
    # Of the bounded features, long audio is checked in pieces as well.
    assert {result.status for result in results if result.name == "chunks"} == {"passed"}


def test_the_same_command_writes_the_same_bytes(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    folders = [train(spec, corpus, tmp_path / str(run) / "units", seed=1) for run in range(2)]
    for name in ("card.toml", "spec.toml", "centroids/centroids.safetensors"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    other = train(spec, corpus, tmp_path / "other", seed=2)
    assert fingerprint(one(str(other))) != fingerprint(one(str(folders[0])))


def test_centroids_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((2000, 6)).astype(np.float32)
    expected = MiniBatchKMeans(
        16, batch_size=100, max_iter=5, n_init=2, max_no_improvement=10, reassignment_ratio=0.1, random_state=3
    ).fit(frames)
    actual = fit_centroids(iter(np.array_split(frames, 7)), 16, OPTIONS, seed=3)
    np.testing.assert_array_equal(actual, expected.cluster_centers_)


def test_memory_does_not_grow_with_the_corpus() -> None:
    def blocks(count: int) -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        return (generator.standard_normal((1000, 8), np.float32) for _ in range(count))

    options = OPTIONS.model_copy(update={"max_frames": 2000})
    peaks = []
    for count in (10, 200):
        tracemalloc.start()
        fit_centroids(blocks(count), 8, options, seed=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_too_few_frames_are_named(spec: str, tmp_path: Path, corpus: Corpus) -> None:
    text = Path(spec).read_text().replace("num_units = 24", "num_units = 5000")
    Path(spec).write_text(text.replace("max_frames = 400", "max_frames = 9000"))
    with pytest.raises(CorpusError, match=r"5000 centroids need as many frames; the corpus has \d+"):
        train(spec, corpus, tmp_path / "units")
    assert not (tmp_path / "units" / "card.toml").exists()


def test_features_that_cannot_be_clustered_are_named(tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(SpecError, match=r"mini: features: opus has no frames to cluster"):
        train(written(tmp_path, "opus", "12kbps"), corpus, tmp_path / "units")
    with pytest.raises(UnknownNameError, match=r"no codec named 'mfc'\. Did you mean 'mfcc'"):
        train(written(tmp_path, "mfc", "39x100hz"), corpus, tmp_path / "units")
    with pytest.raises(UnknownNameError, match="no setting of mfcc named '40x100hz'"):
        train(written(tmp_path, "mfcc", "40x100hz"), corpus, tmp_path / "units")


def test_changed_centroids_are_refused(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    out = train(spec, corpus, tmp_path / "units")
    file = out / "centroids" / "centroids.safetensors"
    assert load_file(file)["centroids"].shape == (24, 39)
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match=r"centroids\.safetensors: expected SHA-256"):
        load(one(str(out)))


def test_a_spec_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mini.toml"
    path.write_text('kind = "unit-means"')
    with pytest.raises(SpecError, match=r"mini\.toml: kind: expected .*'unit-kmeans'.*, found 'unit-means'"):
        find_spec(str(path))
    path.write_text("kind =")
    with pytest.raises(SpecError, match=r"mini\.toml: not TOML"):
        find_spec(str(path))


def settings_of(name: str) -> Collection[str]:
    """Return the settings of a card, or of what a spec of a speech encoder will be once it is trained."""
    if name in list_cards():
        return list_cards()[name].settings
    spec, _ = find_spec(name.removesuffix("-tiny"), "tiny")
    assert isinstance(spec, SpeechEncoderSpec)
    return [f"l{layer}" for layer in range(1, spec.network.num_layers + 1)]


def test_every_shipped_spec_asks_for_a_setting_that_exists() -> None:
    names = [name for name, spec in list_specs().items() if spec.kind == "unit-kmeans"]
    assert len(names) >= 10
    for name in names:
        spec, _ = find_spec(name)
        assert isinstance(spec, UnitKmeansSpec)
        assert spec.name == name
        assert name.endswith(f"-km{spec.num_units}")
        assert spec.setting in settings_of(spec.features)
        assert list(spec.scales) == ["tiny", "small", "paper"]


def test_the_spec_on_the_page_about_units_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "units.md").read_text(encoding="utf-8")
    path = tmp_path / "page.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    spec, _ = find_spec(str(path))
    assert isinstance(spec, UnitKmeansSpec)
    assert spec.setting in list_cards()[spec.features].settings
    assert set(re.findall(r"`([\w-]+-km\d+)`", page)) <= {*list_specs(), "mfcc-km100"}
    commands = re.findall(r"^\$ tokbench (.*)$", page, flags=re.MULTILINE)
    named = [re.search(r"--codec ([\w-]+)|show ([\w-]+)", command) for command in commands]
    names = {match[1] or match[2] for match in named if match}
    assert names - {"my-units"} <= set(list_cards())
