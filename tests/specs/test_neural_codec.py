"""Specs of neural codecs: every problem of a file is reported at once, with its key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tokbench import specs
from tokbench.errors import SpecError
from tokbench.specs.codec import find_spec, read_spec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.scales import SCALES, overlaid, read_content

MINIMAL = {
    "name": "mini",
    "kind": "neural-codec",
    "title": "Mini",
    "source": "tests",
    "sample_rate_hz": 16000,
    "strides": [2, 4],
    "dimension": 8,
    "encoder": {"kind": "seanet"},
    "quantizer": {"kind": "rvq", "num_codebooks": 4, "codebook_size": 16},
    "decoder": {"kind": "seanet"},
    "losses": {"reconstruction": [{"kind": "wave", "weight": 1.0}]},
    "training": {"num_steps": 10, "batch_size": 2, "crop_s": 0.5, "optimizer": {"learning_rate": 1e-3}},
}
ADVERSARY = {"kind": "ms-stftd"}


def written(folder: Path, changes: Mapping[str, Any]) -> Path:
    path = folder / "mini.toml"
    path.write_text(tomli_w.dumps(overlaid(MINIMAL, changes)))
    return path


def problems(folder: Path, changes: Mapping[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        read_spec(written(folder, changes))
    return str(caught.value)


def test_a_minimal_spec_is_read(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, {}))
    assert isinstance(spec, NeuralCodecSpec)
    assert (spec.hop_length, spec.frame_rate_hz) == (8, 2000.0)
    longer = read_spec(written(tmp_path, {"bottleneck": {"num_heads": 2, "stride": 2}}))
    assert isinstance(longer, NeuralCodecSpec)
    assert (longer.hop_length, longer.frame_rate_hz) == (16, 1000.0)


CONTRADICTIONS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "both ways": (
        {"encoder": {"causal": True, "bidirectional": True}},
        "encoder.bidirectional: what is causal does not run backwards",
    ),
    "no LSTM": (
        {"encoder": {"num_lstm_layers": 0, "bidirectional": True}},
        "encoder.bidirectional: there is no LSTM, num_lstm_layers is 0",
    ),
    "decoder": ({"decoder": {"bidirectional": True}}, "decoder.bidirectional: the LSTM of a decoder runs forwards"),
    "norm": (
        {"decoder": {"norm": "time-group", "causal": True}},
        "decoder.norm: 'time-group' looks at all of time",
    ),
    "tanh": (
        {"encoder": {"final_activation": "tanh"}},
        "encoder.final_activation: latents have none, found 'tanh'",
    ),
    "strides": (
        {"encoder": {"kind": "audiodec", "ratios": [2, 4, 8]}},
        "encoder.ratios: expected one for each of 2 strides, found [2, 4, 8]",
    ),
    "heads": (
        {"bottleneck": {"num_heads": 3}},
        "bottleneck.num_heads: expected a divisor of half of the 8 features",
    ),
    "choices": (
        {"quantizer": {"dropout": 1.0, "dropout_choices": [2, 8]}},
        "quantizer.dropout_choices: expected numbers from 1 to 4, found [2, 8]",
    ),
    "projection": ({"quantizer": {"projection": "shared"}}, "projection and code_dimension go together"),
    "settings": ({"settings": [2, 8]}, "settings: expected rising numbers from 1 to 4, found [2, 8]"),
    "warm start": (
        {"discriminators": [ADVERSARY], "training": {"quantized_from": 0.3, "adversarial_from": 0.2}},
        "training.adversarial_from: expected at least quantized_from, 0.3, found 0.2",
    ),
    "frozen": (
        {"training": {"quantized_from": 0.3, "encoder_until": 0.3}},
        "training.encoder_until: expected more than quantized_from, 0.3, found 0.3",
    ),
    "frames": (
        {"bottleneck": {"num_heads": 2, "stride": 2000}},
        "training.crop_s: expected 16000 samples or more, a frame and every window, found 8000",
    ),
    "windows": (
        {"losses": {"reconstruction": [{"kind": "stft", "weight": 1.0, "window_lengths": [64, 8192]}]}},
        "training.crop_s: expected 8192 samples or more, a frame and every window, found 8000",
    ),
    "level": (
        {"level": 2.0, "decoder": {"final_activation": "tanh"}},
        "level: expected at most 1 where decoder cannot leave -1 to 1",
    ),
    "noise": ({"denoising": "decoder"}, "augmentation.target: 'either' goes with denoising, found 'same'"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_reported(name: str, tmp_path: Path) -> None:
    changes, sentence = CONTRADICTIONS[name]
    assert sentence in problems(tmp_path, changes)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Unknown keys, missing and wrong values, and contradictions between the keys that are right."""
    content = overlaid(
        MINIMAL,
        {
            "sample_rate_hz": "fast",
            "encoder": {"num_filter": 3, "kernel_size": "wide"},
            "decoder": {"bidirectional": True},
            "quantizer": {"num_split": 4, "dropout_choices": [9], "projection": "shared"},
            "training": {"quantized_from": 0.5, "encoder_until": 0.5, "batch_size": 0},
            "settings": [3, 1],
            "discriminators": [{"kind": "judge"}],
        },
    )
    del content["losses"]
    path = tmp_path / "bad.toml"
    path.write_text(tomli_w.dumps(content))
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for part in (
        "sample_rate_hz: ",
        "encoder.seanet.num_filter: unknown key",
        "encoder.seanet.kernel_size: ",
        "training.batch_size: ",
        "discriminators.0: ",
        "losses: missing",
        "quantizer.num_split: expected fewer than num_codebooks, found 4",
        "quantizer.dropout_choices: expected numbers from 1 to 4, found [9]",
        "quantizer: projection and code_dimension go together",
        "settings: expected rising numbers from 1 to 4, found [3, 1]",
    ):
        assert part in message


def test_an_unknown_scale_of_a_file_is_reported(tmp_path: Path) -> None:
    assert "scales.tinny: expected small or tiny" in problems(tmp_path, {"scales": {"tinny": {}}})


SHIPPED = {path.stem: read_content(path) for path in Path(specs.__file__).parent.glob("codecs/*.toml")}
NEURAL = sorted(name for name, content in SHIPPED.items() if content["kind"] == "neural-codec")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NEURAL)
def test_every_shipped_spec_resolves_at_every_scale(name: str, scale: str) -> None:
    spec, path = find_spec(name, scale)
    assert isinstance(spec, NeuralCodecSpec)
    assert spec.name == path.stem
    if scale == "tiny":
        assert spec.sample_rate_hz == 16000
        assert spec.frame_rate_hz == (12.5 if name == "mimi" else 50.0)
        assert spec.dimension <= 64
