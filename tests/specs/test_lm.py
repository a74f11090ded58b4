"""Specs of language models: every problem of a file is reported at once, with its key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tokbench.errors import SpecError
from tokbench.specs.codec import find_spec, read_spec
from tokbench.specs.lm import Form, LmSpec
from tokbench.specs.lm_streams import FeatureSource
from tokbench.specs.scales import overlaid

MINIMAL = {
    "name": "mini",
    "kind": "language-model",
    "title": "Mini",
    "source": "tests",
    "streams": {
        "text": {"kind": "text"},
        "acoustic": {"kind": "codes", "num_codebooks": 4, "codebook_size": 16, "frame_rate_hz": 50.0},
        "mel": {"kind": "features", "dimension": 8, "frame_rate_hz": 50.0},
    },
    "network": {"num_layers": 1, "num_heads": 2, "dimension": 16, "feedforward_dimension": 32, "context": 64},
    "stages": {
        "ar": {
            "parts": {"first": {"stream": "acoustic", "end": 1}},
            "forms": {"tts": {"inputs": ["text"], "outputs": ["first"]}},
        },
        "nar": {
            "objective": {"kind": "levels"},
            "forms": {"tts": {"inputs": ["text"], "outputs": ["acoustic"]}},
        },
    },
    "training": {"num_steps": 10, "batch_size": 2, "crop_s": 0.5, "optimizer": {"learning_rate": 1e-3}},
}


def written(folder: Path, changes: Mapping[str, Any]) -> Path:
    path = folder / "mini.toml"
    path.write_text(tomli_w.dumps(overlaid(MINIMAL, changes)))
    return path


def test_a_minimal_spec_is_read(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, {"stages": {"nar": {"network": {"num_layers": 3}}}}))
    assert isinstance(spec, LmSpec)
    assert spec.forms == {"tts": Form(inputs=("text",), outputs=("acoustic",))}
    assert (spec.network_of("ar").num_layers, spec.network_of("nar").num_layers) == (1, 3)


def test_what_a_stage_makes_is_no_input_of_the_whole(tmp_path: Path) -> None:
    vocoder = {
        "objective": {"kind": "regression"},
        "parts": {"sum": {"stream": "mel", "plus": ["acoustic"]}},
        "forms": {"tts": {"outputs": ["sum"]}},
    }
    spec = read_spec(written(tmp_path, {"stages": {"vocoder": vocoder}}))
    assert isinstance(spec, LmSpec)
    assert spec.forms["tts"] == Form(inputs=("text",), outputs=("acoustic", "mel"))


LOCAL = {"num_layers": 1, "num_heads": 2, "dimension": 16, "feedforward_dimension": 16}
CONTRADICTIONS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "stream": (
        {"stages": {"ar": {"parts": {"first": {"stream": "sound"}}}}},
        "stages.ar.parts.first.stream: no stream named 'sound'",
    ),
    "part": (
        {"stages": {"ar": {"forms": {"tts": {"inputs": ["phones"]}}}}},
        "stages.ar.forms.tts: no part or stream named 'phones'",
    ),
    "plus": (
        {"stages": {"ar": {"parts": {"first": {"plus": ["mood"]}}}}},
        "stages.ar.parts.first.plus: no part or stream named 'mood'",
    ),
    "added": (
        {"stages": {"ar": {"parts": {"first": {"plus": ["text"]}}}}},
        "stages.ar.parts.first.plus: the objective 'next' has no frames to add 'text' to",
    ),
    "like": (
        {"streams": {"other": {"kind": "codes", "like": "text"}}},
        "streams.other.like: expected another stream of codes that is itself, found 'text'",
    ),
    "codec": ({"codec": ["text"]}, "codec: expected names of streams of codes or features, found 'text'"),
    "edges": ({"streams": {"acoustic": {"edges": True}}}, "streams.acoustic.edges: there are no durations"),
    "durations": (
        {"streams": {"acoustic": {"durations": 8}}},
        "streams.acoustic.durations: expected one codebook, found 4",
    ),
    "heads": (
        {"network": {"num_heads": 3}},
        "stages.ar.network.num_heads: expected a divisor of half of 16, found 3",
    ),
    "own network": (
        {"stages": {"nar": {"network": {"num_layers": 0}}}},
        "stages.nar.network.num_layers: input should be greater than 0, found 0",
    ),
    "ahead": (
        {"network": {"convolution": 3}},
        "stages.ar.network.convolution: it looks ahead, at what the objective 'next' predicts",
    ),
    "local": (
        {"network": {"local": LOCAL}},
        "stages.nar.network: local networks and towers are for the objective 'next', found 'levels'",
    ),
    "local ahead": (
        {"stages": {"ar": {"network": {"local": {**LOCAL, "convolution": 3}}}}},
        "stages.ar.network.local.convolution: it looks ahead, at the codebooks that are predicted",
    ),
    "local edges": (
        {"stages": {"ar": {"network": {"local": LOCAL}, "parts": {"first": {"edges": True}}}}},
        "stages.ar.network.local: it goes through a step in the order of codebooks, without towers and edges",
    ),
    "local towers": (
        {"stages": {"ar": {"network": {"local": LOCAL, "towers": 2}}}},
        "stages.ar.network.local: it goes through a step in the order of codebooks, without towers and edges",
    ),
    "towers": (
        {"stages": {"ar": {"network": {"towers": 2}}}},
        "stages.ar.network.towers: two towers have one output between them, and no inputs",
    ),
    "channels": (
        {"network": {"towers": 2}, "stages": {"nar": False, "ar": {"forms": {"tts": {"inputs": []}}}}},
        "stages.ar.network.towers: each tower is for all codes of a channel, found some of 'acoustic', whose",
    ),
    "weights": (
        {"stages": {"ar": {"parts": {"first": {"weights": []}}}}},
        "stages.ar.parts.first.weights: tuple should have at least 1 item",
    ),
    "chunks": (
        {"stages": {"ar": {"chunk_s": 1.0, "forms": {"tts": {"outputs": ["first", "text"]}}}}},
        "stages.ar.chunk_s: expected forms of one output, found first, text of tts",
    ),
    "beam of several": (
        {"stages": {"ar": {"sampling": {"beam": 4}, "forms": {"tts": {"outputs": ["first", "text"]}}}}},
        "stages.ar.sampling.beam: expected forms of one output, found first, text of tts",
    ),
    "guided beam": (
        {"stages": {"ar": {"sampling": {"beam": 4, "guidance": 3.0}}}},
        "stages.ar.sampling: a beam goes without guidance, found beam 4 and guidance 3",
    ),
    "beside": (
        {
            "stages": {
                "ar": {
                    "parts": {"said": {"stream": "text", "by": "cross-attention"}},
                    "forms": {"tts": {"inputs": ["said"]}, "sc": {"outputs": ["first"]}},
                }
            }
        },
        "stages.ar.forms: all need an input by cross-attention, or none; sc has none",
    ),
    "crossed": ({"network": {"cross_layers": 1}}, "stages.ar.network.cross_layers: expected at most 1 beside two"),
    "features": (
        {"stages": {"ar": {"forms": {"tts": {"outputs": ["mel"]}}}}},
        "stages.ar.parts.mel: the objective 'next' does not predict features",
    ),
    "layout": (
        {
            "stages": {
                "nar": {
                    "parts": {"all": {"stream": "acoustic", "layout": {"kind": "flatten"}}},
                    "forms": {"tts": {"outputs": ["all"]}},
                }
            }
        },
        "stages.nar.parts.all.layout: the objective 'levels' goes by frames, 'parallel', found 'flatten'",
    ),
    "two outputs": (
        {"stages": {"nar": {"forms": {"tts": {"outputs": ["acoustic", "text"]}}}}},
        "stages.nar.forms: expected one output of the objective 'levels', found acoustic, text",
    ),
    "input keys": (
        {"stages": {"ar": {"parts": {"first": {"dropped": 0.5}}}}},
        "stages.ar.parts.first: an output has no dropped, encoder or by",
    ),
    "delays": (
        {"stages": {"ar": {"parts": {"first": {"layout": {"kind": "delay", "delays": [1, 0]}}}}}},
        "expected 0 for the first codebook, found [1, 0]",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_reported(name: str, tmp_path: Path) -> None:
    changes, sentence = CONTRADICTIONS[name]
    with pytest.raises(SpecError) as caught:
        read_spec(written(tmp_path, changes))
    assert sentence in str(caught.value)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    changes = {
        "codec": ["text"],
        "network": {"num_heads": 3},
        "stages": {"ar": {"parts": {"first": {"plus": ["mood"]}}}},
        "training": {"batch_size": 0},
        "speed": 1,
    }
    with pytest.raises(SpecError) as caught:
        read_spec(written(tmp_path, changes))
    sentences = str(caught.value)
    for part in ("codec: ", "num_heads: ", "plus: ", "training.batch_size: ", "speed: unknown key"):
        assert part in sentences


def test_towers_need_a_channel_each() -> None:
    """Of one channel, units and how long they last would be the same symbols, each in its tower."""
    where = r"stages.lm.network.towers: each tower is for all codes of a channel"
    with pytest.raises(SpecError, match=rf"{where}, found all of 'units', whose channels are 1"):
        find_spec("dgslm", "tiny", changes={"streams": {"units": {"channels": 1}}})
    with pytest.raises(SpecError, match=rf"{where}, found some of 'units', whose channels are 2"):
        find_spec("dgslm", "tiny", changes={"stages": {"lm": {"parts": {"voices": {"end": 2}}}}})


def test_sampling_by_a_beam_with_guidance_is_told_before_anything_is_made(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, {"stages": {"ar": {"sampling": {"beam": 4}}}}))
    assert isinstance(spec, LmSpec)
    with pytest.raises(SpecError, match="sampling of ar: a beam goes without guidance, found beam 4 and"):
        spec.sampling_of("ar", {"guidance": 2.0})
    assert spec.sampling_of("ar", {"guidance": 2.0, "beam": 1}).guidance == 2.0
    # Levels are drawn at once, whatever the beam.
    assert spec.sampling_of("nar", {"guidance": 2.0, "beam": 4}).beam == 4


@pytest.mark.parametrize("name", ["speechgen", "speechprompt"])
def test_prompts_learn_at_their_own_rate_in_a_small_model_too(name: str) -> None:
    optimizers = [find_spec(name, scale)[0].training.optimizer for scale in ("small", "paper")]  # type: ignore[union-attr]
    told = [(each.learning_rate, each.warmup, each.weight_decay) for each in optimizers]
    assert told == [(5e-3, 0.0, 0.0)] * 2


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_nothing_is_dropped_out_where_prompts_of_units_learn(scale: str) -> None:
    spec, _ = find_spec("speechprompt", scale)
    assert isinstance(spec, LmSpec)
    assert spec.network_of("lm").dropout == 0.0


def test_a_melody_has_a_frame_for_each_quarter_of_its_window() -> None:
    """MusicGen: windows of 2^14 samples at 32 kHz, of which the next begins after a quarter."""
    spec, _ = find_spec("musicgen", "paper")
    assert isinstance(spec, LmSpec)
    melody = spec.stream("melody")
    assert isinstance(melody, FeatureSource)
    assert melody.frame_rate_hz == 32000 / (2**14 / 4)
