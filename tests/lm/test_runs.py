"""Where equal units in succession are one, each that comes out lasts as long as it did in training on average."""

import math
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny.little_lm import train_little

from tokbench.audio import Audio
from tokbench.codecs.base import TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.errors import UsageError
from tokbench.lm.asking import Wish, requested
from tokbench.lm.examples import Example, deduplicated, run_lengths, stretched
from tokbench.lm.generation import takes_length
from tokbench.lm.language_model import LanguageModel, Request
from tokbench.lm.streams import Streams
from tokbench.specs.codec import find_spec
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_streams import CodeSource
from tokbench.training.lm import run_counts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("runs")
    parts: dict[str, Any] = {"codes": {"deduplicated": True, "stream": "codes"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKBENCH_HOME", str(folder / "home"))
        return LanguageModel(train_little(folder, stages={"all": {"parts": parts}}), trusts_code=True)


def test_a_model_that_is_loaded_is_laid_out_for_steps(model: LanguageModel) -> None:
    layers = [layer for layer in model.network("all").transformer.modules() if isinstance(layer, torch.nn.Linear)]
    assert layers
    assert all(layer.weight.stride() == (1, layer.out_features) for layer in layers)


def test_what_is_new_of_runs_is_what_comes_after_those_that_were_begun(model: LanguageModel) -> None:
    begun = Audio.read(model.folder.parent / "12.wav")
    heard = model.streams.made({"audio": begun}, ["codes"])["codes"]
    runs = deduplicated(heard)
    assert runs.shape[1] < heard.shape[1]
    frames = model.network("all").run_frames("codes")
    assert float(frames.max()) > 1
    expected, ends = stretched(runs, frames)
    request = Request({}, "sc", begun={"audio": begun})
    sampling = {"max_s": 0.5, "temperature": [3.0]}
    for found in model.generate([request] * 4, sampling=sampling):
        codes = found.streams["codes"]
        assert found.num_begun == {"codes": int(ends[-1])}
        assert codes[:, : expected.shape[1]].equal(expected)
        assert found.num_new("codes") == codes.shape[1] - expected.shape[1] > 0
        assert model.audio(found).duration_s == pytest.approx(found.num_new("codes") / 50)
        assert model.audio(found, whole=True).duration_s == pytest.approx(codes.shape[1] / 50)


def test_runs_last_as_long_as_is_asked_on_average_and_a_frame_at_least() -> None:
    generator = torch.Generator().manual_seed(0)
    runs = deduplicated(torch.randint(8, (1, 400), generator=generator))
    frames = torch.rand(8, generator=generator) * 4 + 1
    codes, ends = stretched(runs, frames)
    lengths = run_lengths(codes)
    assert deduplicated(codes).equal(runs)
    assert lengths.cumsum(0).equal(ends)
    for symbol in range(8):
        mine = lengths[runs[0] == symbol]
        assert set(mine.tolist()) <= {math.floor(frames[symbol]), math.ceil(frames[symbol])}
    asked = 0.0
    for symbol, end in zip(runs[0].tolist(), ends.tolist(), strict=True):
        asked += float(frames[symbol])
        assert abs(end - asked) <= 0.501
    short, _ = stretched(runs, torch.full((8,), 0.2))
    assert short.equal(runs)
    nothing, ends = stretched(runs[:, :0], frames)
    assert (nothing.shape, ends.shape) == ((1, 0), (0,))


def test_frames_and_runs_are_counted_as_a_loop_counts_them() -> None:
    generator = torch.Generator().manual_seed(1)
    examples = [Example({"codes": torch.randint(3, (1, 50), generator=generator)}) for _ in range(3)]
    expected = torch.zeros(2, 4, dtype=torch.float64)
    for example in examples:
        for symbol, run in groupby(example.streams["codes"][0].tolist()):
            expected[:, symbol] += torch.tensor([len(list(run)), 1.0], dtype=torch.float64)
    found = run_counts([*examples, Example({"other": torch.zeros(1, 5)})], "codes", 4)
    assert found.equal(expected)


def test_a_length_is_refused_where_nothing_can_be_as_long(model: LanguageModel) -> None:
    message = r"--seconds: the form 'sc' of little takes no length: the model says where what it writes ends"
    with pytest.raises(UsageError, match=message):
        requested(model, Wish("sc", duration_s=1.0))
    assert requested(model, Wish("sc")).duration_s is None


@pytest.mark.parametrize(
    ("name", "form", "expected"),
    [
        ("valle", "tts", True),
        ("audiolm", "sc", True),  # the units end by themselves, and the codes that are heard as asked
        ("soundstorm", "sc", True),
        ("dgslm", "sc", True),
        ("gslm", "sc", False),
        ("pgslm", "sc", False),
        ("unity", "s2st", False),
        ("lauragpt", "asr", False),
    ],
)
def test_what_has_a_frame_rate_can_be_as_long_as_is_asked(name: str, form: str, *, expected: bool) -> None:
    spec, _ = find_spec(name, "tiny")
    assert isinstance(spec, LmSpec)
    assert takes_length(spec, form) == expected


def test_what_is_new_of_runs_with_durations_is_what_comes_after_those_that_were_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three runs that were begun, of five, last as long as their frames: as long as the stub of a codec says."""
    spec, _ = find_spec("pgslm", "tiny")
    assert isinstance(spec, LmSpec)
    (name,) = spec.forms["sc"].outputs
    source = spec.streams[name]
    assert isinstance(source, CodeSource)
    info = TokenizerInfo(sample_rate_hz=1000, streams=(StreamInfo(1, 100, 50.0),))
    streams = Streams(spec, {})
    tool = SimpleNamespace(tokenizer=SimpleNamespace(info=info))
    monkeypatch.setattr(streams, "tool", lambda _: tool)
    codes = torch.zeros(len(source.sizes), 5, dtype=torch.int64)
    codes[source.num_codebooks] = torch.tensor([0, 3, 1, 7, 9])
    assert streams.seconds(name, codes) == (1 + 4 + 2 + 8 + 10) / 50
    assert streams.seconds(name, codes[:, :3]) == (1 + 4 + 2) / 50
