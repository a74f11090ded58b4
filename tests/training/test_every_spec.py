"""Every shipped spec: it resolves at every scale; narrow, it is trained for two steps, loaded and used."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tiny.voices import voice

from tokbench.corpora.base import Corpus, Utterance
from tokbench.errors import SpecError, UsageError
from tokbench.specs.changes import parse_changes
from tokbench.specs.codec import find_spec, list_specs, scales_of
from tokbench.specs.scales import SCALES, ScaledSpec
from tokbench.testing import run_checks
from tokbench.training.train import Options, train

SPECS = list_specs()
SCALED = [name for name, spec in SPECS.items() if isinstance(spec, ScaledSpec)]

RUN = ["num_steps=2", "batch_size=2", "num_held_out=1", "validation_s=0.5", "log_every_steps=1"]
RUN += ["precision=bfloat16", "ema_decay=0.9"]  # as at small scale
TRAINING = [f"training.{change}" for change in RUN]
NARROW: Mapping[str, list[str]] = {
    "neural-codec": [
        *TRAINING,
        "training.crop_s=0.5",
        "training.quantized_from=0",
        "training.adversarial_from=0",
        "encoder.num_filters=2",
        "decoder.num_filters=2",
        "discriminator_width=0.03",
    ],
    "speech-encoder": [
        *TRAINING,
        "network.width=16",
        "network.feed_forward=16",
        "network.num_layers=4",
    ],
    "spin": [*TRAINING, "training.crop_s=0.5", "codebook_size=8", "dimension=8"],
    "text-encoder": [*TRAINING, "width=16", "feed_forward=16", "num_layers=1"],
    "unit-vocoder": [
        *TRAINING,
        "training.adversarial_from=0",
        "generator.num_filters=2",
        "melody.num_filters=4",
        "voice.num_filters=4",
    ],
    "unit-kmeans": ["num_units=8", "scales.tiny.max_frames=200"],
    "spectrogram-kmeans": ["codebook_size=8", "scales.tiny.max_frames=200"],
}
"""By kind: two steps, and few channels."""
CODES = "quantizer.codebook_size=16"
PARTICULAR: Mapping[str, list[str]] = {
    "audiodec": [
        CODES,
        "training.encoder_until=0.5",
        "vocoder.begins=0.5",
        "vocoder.num_batches=1",
        "vocoder.network.num_filters=2",
    ],
    "cont-spt": ["transcription.width=8"],
    "encodec": [CODES, *(f"entropy_coding.training.{change}" for change in RUN), "entropy_coding.dimension=8"],
    # A frame of one channel cannot be normalized over both; groups of codes need as many channels.
    "funcodec": ["encoder.num_filters=4", "decoder.num_filters=4"],
    "funcodec-semantic": ["encoder.num_filters=4", "decoder.num_filters=4"],
    "hificodec": ["encoder.num_filters=8"],
    "hubert": [
        'objective.iterations=[{num_units=8, cepstra="normalized"}, {starts=0.5, layer=3, num_units=8}]',
        "objective.clustering.max_frames=100",
    ],
}
NEEDED = {
    "hubert-tiny-km100": "features={hubert}",
    "hubert-tiny-km500": "features={hubert}",
    "w2v-bert-tiny-km100": "features={w2v-bert}",
    "spin": 'backbones=["{hubert}:l4"]',
    "dc-spin": 'backbones=["{hubert}:l4"]',
    "funcodec-semantic": 'semantic.units=["{hubert-tiny-km100}"]',
    "unit-vocoder": 'units=["{hubert-tiny-km100}"]',
    "speechtokenizer-units": 'distillation.semantic.teachers=["{hubert-tiny-km100}"]',
    "dm-codec": 'distillation.language.teachers=["{text-encoder}"]',
}
"""What takes the place of trained models that a spec asks for: those that are trained here."""


class Speech(Corpus):
    """Voices that are said to speak."""

    name, reference, licence, sha256 = "speech", "speech", "CC0-1.0", "0"

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"{index}.wav" for index in range(4)]
        for index, path in enumerate(self._paths):
            voice(seed=index, duration_s=1.0).write(path)

    def __iter__(self) -> Iterator[Utterance]:
        return (Utterance(id=path.stem, path=path, text=f"this is voice {path.stem}") for path in self._paths)

    def __len__(self) -> int:
        return len(self._paths)


class Trained:
    """Shipped specs, trained when they are asked for, and before them what they need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.corpus = Speech(folder)

    def __getitem__(self, name: str) -> Path:
        needed = [NEEDED[name].format_map(self)] if name in NEEDED else []
        changes = parse_changes([*NARROW[SPECS[name].kind], *PARTICULAR.get(name, ()), *needed])
        return train(name, self.corpus, self._folder / name, options=Options(changes, num_workers=0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", SCALED)
def test_it_resolves(name: str, scale: str) -> None:
    spec, path = find_spec(name, scale)
    assert isinstance(spec, ScaledSpec)
    assert spec.name == path.stem == name
    assert spec.scale == scale
    assert scale in scales_of(spec)


@pytest.mark.parametrize("name", [name for name in SCALED if SPECS[name].kind == "neural-codec"])
def test_small_codecs_learn_from_as_many_seconds_for_as_long(name: str) -> None:
    spec, _ = find_spec(name, "small")
    assert isinstance(spec, ScaledSpec)
    training = spec.training
    assert (training.num_steps, training.batch_size * training.crop_s) == (100_000, 32.0)
    assert (training.precision, training.ema_decay) == ("bfloat16", 0.999)
    assert training.adversarial_from == (0.2857143 if name == "audiodec" else 0.1)
    assert spec.sample_rate_hz == 16000


PUBLISHED = {"hubert-base", "mhubert", "w2v-bert-2", "wav2vec2", "wavlm", "xls-r"}
"""Of the features of k-means specs, those with weights that are not here."""
TRAINABLE = [name for name in SPECS if not any(name.startswith(family) for family in PUBLISHED)]


@pytest.mark.parametrize("name", TRAINABLE)
def test_it_is_trained_loaded_and_used(name: str, trained: Trained) -> None:
    folder = trained[name]
    if (
        SPECS[name].kind == "text-encoder"
    ):  # no tokenizer of audio; that it can be read, those show that learn from it
        assert (folder / "model.safetensors").is_file()
        return
    results = run_checks(str(folder), long_input_s=1.5)
    assert [result for result in results if result.status == "failed"] == []
    assert any(result.status == "passed" for result in results)


def test_a_change_is_checked_as_the_file_is() -> None:
    spec, _ = find_spec("encodec", "tiny", changes=parse_changes(["training.batch_size=3", "encoder.norm=weight"]))
    assert isinstance(spec, ScaledSpec)
    assert spec.training.batch_size == 3
    changes = parse_changes(["training.batch_sise=3", "training.crop_s=-1"])
    with pytest.raises(SpecError, match=r"encodec\.toml: .*crop_s.*batch_sise: unknown key"):
        find_spec("encodec", "tiny", changes=changes)
    with pytest.raises(UsageError, match=r"--set batch_size: expected key=value"):
        parse_changes(["batch_size"])
