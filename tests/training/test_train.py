"""Training from a spec to a folder that is a codec."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tokbench.audio import Audio
from tokbench.codecs.base import Codec
from tokbench.codecs.registry import expand, fingerprint, load, one
from tokbench.corpora.base import Corpus
from tokbench.errors import SpecError, UnknownNameError, WeightsError
from tokbench.specs.codec import list_specs, read_spec, scales_of
from tokbench.specs.spectrogram_kmeans import KmeansScale, SpectrogramKmeansSpec
from tokbench.testing import run_checks
from tokbench.training.folder import RunExistsError
from tokbench.training.train import Options, train
from tokbench.training.watcher import Watcher

SPEC = """
name = "mini"
kind = "spectrogram-kmeans"
codebook_size = 16
num_codebooks = 3
settings = [1, 2, 3]
griffin_lim_iterations = 4

[log_mel]
sample_rate_hz = 16000
window_length = 512
hop_length = 160
num_mels = 20
floor = 1e-2

[scales.tiny]
max_frames = 500
batch_frames = 256
num_epochs = 5
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "mini.toml"
    path.write_text(SPEC)
    return str(path)


def test_a_trained_folder_is_a_codec_that_conforms(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    out = train(spec, corpus, tmp_path / "my-kmeans")
    assert sorted(path.name for path in out.iterdir()) == ["card.toml", "log", "spec.toml", "weights.safetensors"]
    assert [reference.label for reference in expand(f"{out}:all")] == [f"my-kmeans:{k}x16" for k in (1, 2, 3)]
    info = load(one(f"{out}:3x16")).info
    assert info.bitrate_bps == 3 * 4 * 100
    assert info.trained_on == ("tiny",)
    assert info.licence == "CC0-1.0"
    results = run_checks(str(out), long_input_s=2.0)
    assert [result for result in results if result.status != "passed"] == []


def test_the_same_command_writes_the_same_bytes(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    folders = [train(spec, corpus, tmp_path / str(run) / "codec", seed=1) for run in range(2)]
    for name in ("card.toml", "spec.toml", "weights.safetensors"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    other = train(spec, corpus, tmp_path / "other", seed=2)
    assert (other / "weights.safetensors").read_bytes() != (folders[0] / "weights.safetensors").read_bytes()
    assert fingerprint(one(str(other))) != fingerprint(one(str(folders[0])))


def test_a_folder_can_be_trained_again_from_its_own_spec(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    out = train(spec, corpus, tmp_path / "codec")
    before = (out / "weights.safetensors").read_bytes()
    (out / "weights.safetensors").unlink()
    train(str(out / "spec.toml"), corpus, out, options=Options(restart=True))
    assert (out / "weights.safetensors").read_bytes() == before


def test_what_is_finished_is_not_trained_again(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    said: list[str] = []

    class Hearing(Watcher):
        def say(self, sentence: str) -> None:
            said.append(sentence)

    for _ in range(2):
        out = train(spec, corpus, tmp_path / "codec", watcher=Hearing())
    assert said == ["finished already"]
    with pytest.raises(RunExistsError, match="another spec"):
        train(spec, corpus, out, options=Options(changes={"scales": {"tiny": {"num_epochs": 6}}}))


def test_changes_are_trained_and_written_down(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    small = {"max_frames": 9, "batch_frames": 9, "num_epochs": 9}
    options = Options(changes={"codebook_size": 8, "scales": {"small": small, "tiny": {"num_epochs": 1}}})
    out = train(spec, corpus, tmp_path / "codec", options=options)
    assert load_file(out / "weights.safetensors")["centroids"].shape == (3, 8, 20)
    written = read_spec(out / "spec.toml")
    assert isinstance(written, SpectrogramKmeansSpec)
    assert written.codebook_size == 8
    assert written.scales == {"tiny": KmeansScale(max_frames=500, batch_frames=256, num_epochs=1)}


def test_more_codebooks_bring_the_frames_closer(
    spec: str, corpus: Corpus, tmp_path: Path, unseen_voice: Audio
) -> None:
    out = train(spec, corpus, tmp_path / "codec")
    errors = []
    for reference in expand(f"{out}:all"):
        codec = load(reference)
        assert isinstance(codec, Codec)
        difference = codec.quantized(codec.encode(unseen_voice)).values - codec.latents(unseen_voice).values
        errors.append(float(difference.square().mean()))
    assert errors == sorted(errors, reverse=True)


def test_progress_ends_at_one_in_each_stage(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []

    class Seeing(Watcher):
        def stage(self, name: str, share: float) -> None:
            seen.append((name, share))

    train(spec, corpus, tmp_path / "codec", watcher=Seeing())
    assert dict(seen) == {"reading audio": 1.0, "clustering frames": 1.0}
    assert [stage for stage, _ in seen] == ["reading audio"] * 5 + ["clustering frames"] * 3


def test_changed_weights_are_refused(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    out = train(spec, corpus, tmp_path / "codec")
    weights = out / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match=r"weights\.safetensors: expected SHA-256 [0-9a-f]{64}, found"):
        load(one(str(out)))


def test_weights_hold_one_byte_per_number(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    tensors = load_file(train(spec, corpus, tmp_path / "codec") / "weights.safetensors")
    assert tensors["centroids"].shape == (3, 16, 20)
    assert tensors["centroids"].dtype.name == "int8"


def test_an_unknown_spec_and_an_unknown_scale_are_named(spec: str, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no spec named 'spectrogram-kmean'\. Did you mean 'spectrogram-k"):
        train("spectrogram-kmean", corpus, tmp_path / "codec")
    with pytest.raises(UnknownNameError, match="no scale of mini named 'huge'"):
        train(spec, corpus, tmp_path / "codec", scale="huge")
    assert not (tmp_path / "codec").exists()


@pytest.mark.parametrize(
    ("line", "by", "problem"),
    [
        ("settings = [1, 2, 3]", "settings = [1, 4]", "settings ask for 4 codebooks of 3"),
        ("settings = [1, 2, 3]", "settings = [2, 1]", r"settings must rise from at least 1, found \[2, 1\]"),
        (
            "hop_length = 160",
            "hop_length = 300",
            r"log_mel: hop_length \(300\) exceeds half of window_length \(512",
        ),
        ("codebook_size = 16", "codebook_sise = 16", "codebook_size: missing; codebook_sise: unknown key"),
        ("num_mels = 20", 'num_mels = "many"', r"log_mel\.num_mels: .*found 'many'"),
    ],
)
def test_a_wrong_spec_says_which_key_and_why(
    line: str, by: str, problem: str, spec: str, corpus: Corpus, tmp_path: Path
) -> None:
    Path(spec).write_text(SPEC.replace(line, by))
    with pytest.raises(SpecError, match=rf"mini\.toml: .*{problem}"):
        train(spec, corpus, tmp_path / "codec")


def test_every_shipped_spec_is_listed_with_its_scales() -> None:
    for name in ("spectrogram-kmeans", "mfcc-km100", "encodec"):
        assert list(scales_of(list_specs()[name])) == ["tiny", "small", "paper"]
