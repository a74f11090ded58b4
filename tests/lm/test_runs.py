"""Where equal units in succession are one, what is begun and what is new are counted in runs, and not in frames."""

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
from tokbench.lm.examples import deduplicated
from tokbench.lm.generation import takes_length
from tokbench.lm.language_model import LanguageModel, Request
from tokbench.lm.streams import Streams
from tokbench.specs.codec import find_spec
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_streams import CodeSource


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("runs")
    parts: dict[str, Any] = {"codes": {"deduplicated": True, "stream": "codes"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKBENCH_HOME", str(folder / "home"))
        return LanguageModel(train_little(folder, stages={"all": {"parts": parts}}), trusts_code=True)


def test_what_is_new_of_runs_is_what_comes_after_those_that_were_begun(model: LanguageModel) -> None:
    begun = Audio.read(model.folder.parent / "12.wav")
    frames = model.streams.made({"audio": begun}, ["codes"])["codes"]
    runs = deduplicated(frames)
    assert runs.shape[1] < frames.shape[1]
    request = Request({}, "sc", begun={"audio": begun})
    sampling = {"max_s": 0.5, "temperature": [3.0]}
    for found in model.generate([request] * 4, sampling=sampling):
        codes = found.streams["codes"]
        assert found.num_begun == {"codes": runs.shape[1]}
        assert codes[:, : runs.shape[1]].equal(runs)
        assert found.num_new("codes") == codes.shape[1] - runs.shape[1] > 0
        assert model.audio(found).duration_s == pytest.approx(found.num_new("codes") / 50)
        assert model.audio(found, whole=True).duration_s == pytest.approx(codes.shape[1] / 50)


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
