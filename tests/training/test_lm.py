"""Language models from spec to sound: tokens, training, resuming, generating, and what goes wrong on the way."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch
from safetensors.torch import load_file
from torch import Tensor

from tokbench.audio import Audio
from tokbench.corpora.base import Corpus
from tokbench.errors import CorpusError, NotSupportedError, SpecError, TrainingError, UsageError, WeightsError
from tokbench.lm.items import CorpusMaterial, Item, Material
from tokbench.lm.language_model import LanguageModel, Request
from tokbench.lm.network import COMPUTATION
from tokbench.lm.sentences import ContextError
from tokbench.lm.streams import ContentError, load_tools
from tokbench.lm.tokens import _move, open_tokens, token_folder
from tokbench.shards import INDEX_FILE, Column, ShardError, Shards, ShardWriter
from tokbench.specs.codec import find_spec, list_lms
from tokbench.specs.lm import LmSpec
from tokbench.training.learner import Origin, Progress
from tokbench.training.lm import LmLearner, _expect_same_tokenizers, _Facts, _of_both, _start, train_lm
from tokbench.training.lm_data import NUM_PREDICTED, DrawnTokens, TokenBatch, TokenBatches, TokenValidation, split
from tokbench.training.loop import Loop
from tokbench.training.processes import Processes
from tokbench.training.train import Options
from tokbench.training.watcher import Watcher

SPEC: dict[str, Any] = {
    "name": "mini",
    "kind": "language-model",
    "title": "Mini",
    "source": "a test",
    "codec": ["acoustic"],
    "streams": {
        "text": {"kind": "text"},
        "mood": {"kind": "labels", "of": "mood"},
        "acoustic": {"kind": "codes", "num_codebooks": 2, "codebook_size": 8, "frame_rate_hz": 50.0},
    },
    "network": {
        "num_layers": 1,
        "num_heads": 2,
        "dimension": 32,
        "feedforward_dimension": 64,
        "context": 64,
        "positions": "sinusoidal",
        "restarted": True,
    },
    "stages": {
        "ar": {
            "parts": {"first": {"stream": "acoustic", "end": 1, "plus": ["mood"]}},
            "forms": {
                "tts": {"inputs": ["text"], "outputs": ["first"]},
                "asr": {"inputs": ["acoustic"], "outputs": ["text"]},
            },
            "sampling": {"temperature": [0.0]},
        },
        "nar": {
            "objective": {"kind": "levels", "prompt_s": 0.02},
            "forms": {"tts": {"inputs": ["text"], "outputs": ["acoustic"]}},
            "sampling": {"temperature": [0.0]},
        },
    },
    "training": {
        "num_steps": 40,
        "batch_size": 8,
        "crop_s": 1.0,
        "num_held_out": 2,
        "log_every_steps": 20,
        "validate_every_steps": 30,
        "checkpoint_every_steps": 20,
        "optimizer": {"learning_rate": 1e-2, "clip_norm": 1.0, "schedule": "cosine"},
    },
}
LETTERS = "abcdefgh"


@dataclass
class Letters(Material):
    """Letters, each spoken as a code and, one codebook below, the next one; in two moods."""

    num_items: int = 40
    name: str = "letters"
    licence: str = "CC0-1.0"

    def __iter__(self) -> Iterator[Item]:
        return (self.item(index) for index in range(self.num_items))

    def __len__(self) -> int:
        return self.num_items

    @property
    def sha256(self) -> str:
        return f"letters {self.num_items}"

    @staticmethod
    def item(index: int) -> Item:
        generator = np.random.default_rng(index)
        numbers = generator.integers(len(LETTERS), size=int(generator.integers(2, 6)))
        return Item(
            str(index),
            {
                "text": "".join(LETTERS[n] for n in numbers),
                "mood": "glad" if index % 2 else "sad",
                "acoustic": spoken(numbers),
            },
        )


def spoken(numbers: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([numbers, (numbers + 1) % len(LETTERS)])).long()


def spec_file(folder: Path, changes: Mapping[str, Any] | None = None, name: str = "mini") -> str:
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(SPEC | (changes or {})))
    return str(path)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once for all tests that only look at what came out."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKBENCH_HOME", str(folder / "home"))
        changes = {"training": {"num_steps": 300}}
        return train_lm(spec_file(folder), Letters(400), folder / "lm", scale="paper", options=Options(changes))


def test_it_has_learnt_to_speak_and_to_hear(model_folder: Path) -> None:
    model = LanguageModel(model_folder, trusts_code=True)
    speak = [Request({"text": text, "mood": "sad"}, "tts") for text in ("abc", "hgfe", "dadbf")]
    for request, found in zip(speak, model.generate(speak), strict=True):
        numbers = np.array([LETTERS.index(letter) for letter in str(request.contents["text"])])
        assert torch.equal(found.streams["acoustic"], spoken(numbers))
        assert found.is_ended["acoustic"]
    (heard,) = model.generate([Request({"acoustic": spoken(np.array([1, 2, 7]))}, "asr")])
    assert heard.text == {"text": "bch"}


def test_the_card_tells_how_it_was_made(model_folder: Path) -> None:
    model = LanguageModel(model_folder, trusts_code=True)
    assert (model.card.trained_on, model.card.licence) == (("letters",), "CC0-1.0")
    assert model.card.num_parameters == sum(each.numel() for each in model.networks.parameters())
    assert model.card.num_steps == 300
    assert model.card.num_tokens > 300 * 8
    assert model.spec.streams["mood"].symbols == ("sad", "glad")  # type: ignore[union-attr]


def test_a_beginning_is_gone_on_from(model_folder: Path) -> None:
    begun = spoken(np.array([0, 1]))
    request = Request({"text": "abe", "mood": "glad"}, "tts", begun={"acoustic": begun})
    (found,) = LanguageModel(model_folder, trusts_code=True).generate([request])
    assert torch.equal(found.streams["acoustic"], spoken(np.array([0, 1, 4])))
    assert found.num_begun == {"acoustic": 2}


def test_what_is_right_is_likelier_and_nothing_learnt_knows_no_better(model_folder: Path) -> None:
    model, floor = (
        LanguageModel(model_folder, trusts_code=True),
        LanguageModel.floor(model_folder, trusts_code=True),
    )
    right = Item("right", {"text": "abc", "mood": "sad", "acoustic": spoken(np.array([0, 1, 2]))}, "tts")
    wrong = Item("wrong", {**right.contents, "acoustic": spoken(np.array([0, 1, 5]))}, "tts")
    likely, unlikely = model.score([right, wrong])
    assert likely.nats < unlikely.nats / 5
    assert likely.streams["acoustic"].num_symbols == 2 * 3 + 1
    assert floor.score([right])[0].nats == pytest.approx(7 * np.log(8), rel=0.3)
    assert likely.streams["acoustic"].bits == pytest.approx(likely.nats / np.log(2))


def test_what_is_filled_in_by_confidence_has_no_likelihood(tmp_path: Path) -> None:
    """And a score without it would be that of the first codebook alone."""
    stages = {"nar": {**SPEC["stages"]["nar"], "objective": {"kind": "masked", "num_given": 1}}}
    changes = {"stages": {**SPEC["stages"], **stages}, "training": {**SPEC["training"], "num_steps": 1}}
    model = LanguageModel(
        train_lm(spec_file(tmp_path, changes), Letters(), tmp_path / "lm", scale="paper"), trusts_code=True
    )
    item = Letters.item(0)
    message = "mini does not offer a likelihood of 'tts': the objective 'masked' of its stage 'nar' has none"
    with pytest.raises(NotSupportedError, match=message):
        model.score([Item("spoken", item.contents, "tts")])
    (heard,) = model.score([Item("heard", item.contents, "asr")])
    assert heard.nats > 0


def test_what_is_wrong_with_a_request_is_told(model_folder: Path) -> None:
    model = LanguageModel(model_folder, trusts_code=True)
    with pytest.raises(UsageError, match="mini was asked for 'sing'; it has tts, asr"):
        model.generate([Request({"text": "a"}, "sing")])
    with pytest.raises(UsageError, match="mini was asked for no form; it has tts, asr"):
        model.generate([Request({"text": "a"})])
    with pytest.raises(ContentError, match="the form 'tts' of mini needs the content 'text'"):
        model.generate([Request({"mood": "sad"}, "tts")])
    with pytest.raises(ContentError, match="no label 'angry' in the stream 'mood', only sad, glad"):
        model.generate([Request({"text": "a", "mood": "angry"}, "tts")])
    with pytest.raises(ContentError, match="no symbol of the stream 'text' is in the text ''"):
        model.generate([Request({"text": "", "mood": "sad"}, "tts")])
    with pytest.raises(ContextError, match="the request takes 73 steps of mini, whose context is 64"):
        model.generate([Request({"text": "a" * 70, "mood": "sad"}, "tts")])
    for seconds in (float("nan"), float("inf"), -1.0, 0.0):
        with pytest.raises(UsageError, match=rf"expected a length in seconds .* above 0, found {seconds:g}"):
            model.generate([Request({"text": "a", "mood": "sad"}, "tts", duration_s=seconds)])
    with pytest.raises(ContentError, match=r"acoustic: expected codes below \[8, 8\], found up to \[9, 9\]"):
        model.generate([Request({"acoustic": torch.full((2, 3), 9)}, "asr")])
    with pytest.raises(SpecError, match="sampling of ar: top_p: input should be less than or equal to 1, found 3"):
        model.generate([Request({"text": "a", "mood": "sad"}, "tts")], sampling={"top_p": 3})
    (found,) = model.generate([Request({"text": "a", "mood": "sad"}, "tts")])
    with pytest.raises(NotSupportedError, match="mini does not offer a tokenizer of the stream 'acoustic'"):
        model.streams.audio("acoustic", found.streams["acoustic"])


def test_weights_of_another_model_are_told(model_folder: Path, tmp_path: Path) -> None:
    for file in model_folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"weights.safetensors: expected SHA-256 .* found another file"):
        LanguageModel(tmp_path)
    (tmp_path / "lm.toml").unlink()
    with pytest.raises(SpecError, match=r"holds no trained language model: there is no lm.toml"):
        LanguageModel(tmp_path)


def test_weights_of_networks_that_computed_otherwise_are_told(model_folder: Path, tmp_path: Path) -> None:
    for file in model_folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = (tmp_path / "lm.toml").read_text()
    told = f"computation = {COMPUTATION}\n"
    assert told in card
    (tmp_path / "lm.toml").write_text(card.replace(told, ""))
    with pytest.raises(WeightsError, match=r"lm.toml: expected computation \d+, .* found 1: .* Train the"):
        LanguageModel(tmp_path)


def test_the_same_command_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("lm.toml", "spec.toml", "weights.safetensors")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("TOKBENCH_HOME", str(tmp_path / name / "home"))
        train_lm(spec_file(tmp_path), Letters(), tmp_path / name / "lm", scale="paper")
    for name in names:
        assert (tmp_path / "one/lm" / name).read_bytes() == (tmp_path / "two/lm" / name).read_bytes()


class Interrupting(Watcher):
    def step(self, step: int, num_steps: int) -> None:
        if step == 30:
            raise RuntimeError("power cut")


class Naming(Watcher):
    """Notes of which models it is to hear."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def of(self, model: str) -> Self:
        self.models.append(model)
        return self


def test_a_model_that_another_one_begins_with_is_heard_of_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _ = find_spec("twist", "tiny")
    assert isinstance(spec, LmSpec)
    monkeypatch.setattr("tokbench.training.lm.train_lm", lambda *_, **__: tmp_path / "start")
    watcher, origin = Naming(), Origin(_Facts(Letters()), "tiny", 0)
    _start(spec, Letters(), tmp_path, codec=None, origin=origin, options=Options(), watcher=watcher)
    assert watcher.models == ["text-lm"]


class Chance(Letters):
    """Codes that have nothing to do with what they are said to say: all that can be learnt is learnt by heart."""

    @staticmethod
    def item(index: int) -> Item:
        contents = Letters.item(index).contents
        codes = np.random.default_rng([index, 1]).integers(len(LETTERS), size=contents["acoustic"].shape)
        return Item(str(index), {**contents, "acoustic": torch.from_numpy(codes)})


def test_the_weights_that_are_kept_are_those_of_the_step_that_was_best(tmp_path: Path) -> None:
    training = {
        **SPEC["training"],
        "optimizer": {"learning_rate": 3e-2},
        "validate_every_steps": 4,
        "num_held_out": 4,
    }
    best = spec_file(tmp_path, {"training": {**training, "keep": "best"}}, "best")
    folder = train_lm(best, Chance(), tmp_path / "kept", scale="paper")
    curves = pd.read_csv(folder / "curves.csv").set_index("step").dropna()
    kept = load_file(folder / "weights.safetensors")
    for stage in ("ar", "nar"):
        step = int(curves[f"validation.{stage}.bits_per_code"].idxmin())
        assert step < training["num_steps"], "it learns nothing by heart"
        last = spec_file(tmp_path, {"training": {**training, "num_steps": step}}, f"last-{stage}")
        then = load_file(train_lm(last, Chance(), tmp_path / stage, scale="paper") / "weights.safetensors")
        names = [name for name in kept if name.startswith(f"{stage}.")]
        assert names
        assert all(torch.equal(kept[name], then[name]) for name in names)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_interrupted_run_goes_on_to_the_last_bit(keep: str, tmp_path: Path) -> None:
    training = {**SPEC["training"], "keep": keep, "validate_every_steps": 4, "optimizer": {"learning_rate": 3e-2}}
    spec = spec_file(tmp_path, {"training": training})
    whole = train_lm(spec, Letters(), tmp_path / "whole/lm", scale="paper")
    with pytest.raises(RuntimeError, match="power cut"):
        train_lm(spec, Letters(), tmp_path / "cut/lm", scale="paper", watcher=Interrupting())
    cut = train_lm(spec, Letters(), tmp_path / "cut/lm", scale="paper")
    assert (whole / "weights.safetensors").read_bytes() == (cut / "weights.safetensors").read_bytes()
    assert (whole / "lm.toml").read_bytes() == (cut / "lm.toml").read_bytes()


def test_a_checkpoint_or_a_folder_of_another_spec_is_told(tmp_path: Path) -> None:
    spec, other = (
        spec_file(tmp_path),
        spec_file(tmp_path, {"network": {**SPEC["network"], "dimension": 16}}, "other"),
    )
    for name, each in (("one", spec), ("two", other)):
        with pytest.raises(RuntimeError, match="power cut"):
            train_lm(each, Letters(), tmp_path / name, scale="paper", watcher=Interrupting())
    with pytest.raises(UsageError, match=r"one holds a run with another spec\. Choose another folder with --out"):
        train_lm(other, Letters(), tmp_path / "one", scale="paper")
    checkpoint = tmp_path / "one" / "checkpoint.safetensors"
    checkpoint.write_bytes((tmp_path / "two" / "checkpoint.safetensors").read_bytes())
    with pytest.raises(TrainingError, match=r"checkpoint.safetensors is of another spec \(size mismatch for"):
        train_lm(spec, Letters(), tmp_path / "one", scale="paper")
    checkpoint.write_bytes(b"no tensors")
    with pytest.raises(TrainingError, match=r"checkpoint.safetensors is not a checkpoint of this version"):
        train_lm(spec, Letters(), tmp_path / "one", scale="paper")
    train_lm(spec, Letters(), tmp_path / "one", scale="paper", options=Options(restart=True))


class Spent(Letters):
    """Items that may be gone through once."""

    def __iter__(self) -> Iterator[Item]:
        assert not self.is_spent, "tokens are made once"
        self.is_spent = True
        return super().__iter__()

    is_spent = False


def test_tokens_are_made_once_and_damage_to_them_is_told(tmp_path: Path) -> None:
    spec, material = spec_file(tmp_path), Spent()
    train_lm(spec, material, tmp_path / "one", scale="paper", seed=1)
    train_lm(spec, material, tmp_path / "two", scale="paper", seed=2)
    declared, _ = find_spec(spec)
    assert isinstance(declared, LmSpec)
    folder = token_folder(declared, material, {})
    shard = folder / "acoustic-00000.bin"
    content = bytearray(shard.read_bytes())
    content[:2] = np.int16(99).tobytes()
    shard.write_bytes(bytes(content))
    with pytest.raises(ShardError, match=r"acoustic of 0 has codes outside of \[8, 8\]\. Delete the folder"):
        open_tokens(declared, material, {}).example(0)
    shard.write_bytes(b"")
    with pytest.raises(ShardError, match=r"acoustic-00000.bin: expected \d+ bytes, found 0"):
        train_lm(spec, material, tmp_path / "three", scale="paper", seed=3)
    shard.write_bytes(bytes(content))
    places = np.load(folder / "acoustic.npy")
    places[3, 2] = 0
    np.save(folder / "acoustic.npy", places)
    with pytest.raises(ShardError, match=r"acoustic of 3 is empty\. Delete the folder, and"):
        train_lm(spec, material, tmp_path / "three", scale="paper", seed=3)
    (folder / "symbols.json").write_text("")
    with pytest.raises(ShardError, match=r"symbols.json cannot be read"):
        train_lm(spec, material, tmp_path / "three", scale="paper", seed=3)
    (folder / "shards.json").write_text('{"num_sequences": 0, "columns": {}}')
    with pytest.raises(ShardError, match=r"there are no sequences in it"):
        train_lm(spec, material, tmp_path / "three", scale="paper", seed=3)


def test_a_material_without_an_example_is_told(tmp_path: Path) -> None:
    class Silent(Letters):
        def __iter__(self) -> Iterator[Item]:
            return (Item(item.id, {"text": item.contents["text"]}) for item in super().__iter__())

    with pytest.raises(
        CorpusError, match=r"letters: no item is an example for mini \(tts needs .*\); they have no audio$"
    ):
        train_lm(spec_file(tmp_path), Silent(), tmp_path / "lm", scale="paper")
    with pytest.raises(UsageError, match="encodec is the spec of a neural-codec, and not of a language model"):
        train_lm("encodec", Letters(), tmp_path / "lm")


class Told(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@dataclass
class WithOthers(Letters):
    """Letters, and some items whose contents are ``others``."""

    others: tuple[Mapping[str, Any], ...] = ()

    def __iter__(self) -> Iterator[Item]:
        yield from super().__iter__()
        yield from (Item(f"other {index}", dict(each)) for index, each in enumerate(self.others))

    def __len__(self) -> int:
        return self.num_items + len(self.others)

    @property
    def sha256(self) -> str:
        return f"{super().sha256}, {self.others}"


def test_what_is_too_long_is_left_out_and_told(tmp_path: Path) -> None:
    numbers = np.arange(40) % len(LETTERS)
    text = "".join(LETTERS[n] for n in numbers)
    long = {"text": text, "mood": "glad", "acoustic": spoken(numbers)}
    # Of 25 letters, the sentence fits, though the longest text and the longest codes together would not.
    other = {"text": "abcde" * 5, "mood": "glad", "acoustic": spoken(numbers[:25])}
    told = Told()
    material = WithOthers(name="long", others=(long, other))
    folder = train_lm(spec_file(tmp_path), material, tmp_path / "lm", scale="paper", watcher=told)
    sentence = (
        "1 of 42 examples are longer than the context, cannot be cut, and are left out; the longest, other 0, "
        "takes 84 of 64 steps of ar (a longer one: network.context)."
    )
    assert told.sentences[0] == sentence
    assert LanguageModel(folder, trusts_code=True).card.remarks == (sentence,)
    with pytest.raises(CorpusError, match=r"mini: 1 of 1 examples are longer than the context"):
        train_lm(spec_file(tmp_path), WithOthers(0, "all", others=(long,)), tmp_path / "none", scale="paper")


def test_items_that_are_no_examples_are_counted_and_told(tmp_path: Path) -> None:
    """One without a text can be no example of either form; nothing keeps the others."""
    letters = spoken(np.arange(3))
    others = ({"text": "", "mood": "sad", "acoustic": letters}, {"acoustic": letters}, {"text": "abc"})
    told = Told()
    material = WithOthers(name="some", others=others)
    folder = train_lm(spec_file(tmp_path), material, tmp_path / "lm", scale="paper", watcher=told)
    (remark,) = LanguageModel(folder, trusts_code=True).card.remarks
    assert told.sentences[0] == remark
    assert remark.startswith(
        "3 of 43 items are no examples, and are left out: text: no symbol of the stream 'text'"
    )
    assert remark.endswith("; no text; no audio.")


def test_a_content_of_which_nothing_can_be_made_hinders_only_what_needs_it(tmp_path: Path) -> None:
    others = ({"text": "abc", "mood": 3, "acoustic": spoken(np.arange(3))},)
    declared, _ = find_spec(spec_file(tmp_path))
    assert isinstance(declared, LmSpec)
    tokens = open_tokens(declared, WithOthers(name="moodless", others=others), {})
    assert (len(tokens), tokens.remark) == (41, "")
    assert tokens.forms(0) == ["tts", "asr"]
    assert tokens.forms(40) == ["asr"]


def test_examples_are_functions_of_their_number(tmp_path: Path) -> None:
    declared, _ = find_spec(spec_file(tmp_path))
    assert isinstance(declared, LmSpec)
    tokens = open_tokens(declared, Letters(), {})
    rows, held_out = split(tokens, 4)
    assert len(rows) == 36
    assert not set(rows) & set(held_out)
    drawn = DrawnTokens(tokens, rows, seed=0)
    alone = TokenBatches(drawn, batch_size=4)
    shared = [TokenBatches(drawn, 2, process, 2) for process in range(2)]
    for step in range(3):
        together = [each for batches in shared for each in batches[step].examples]
        for one, other in zip(alone[step].examples, together, strict=True):
            assert one.form == other.form
            assert all(torch.equal(values, other.streams[name]) for name, values in one.streams.items())


def test_what_somebody_says_is_learnt_from_or_held_out(tmp_path: Path) -> None:
    class Twice(Letters):
        def __iter__(self) -> Iterator[Item]:
            return (replace(item, group=f"group {int(item.id) // 2}") for item in super().__iter__())

    declared, _ = find_spec(spec_file(tmp_path))
    assert isinstance(declared, LmSpec)
    rows, held_out = split(open_tokens(declared, Twice(name="twice"), {}), 4)
    assert len(held_out) == 4
    assert {row // 2 for row in rows}.isdisjoint({row // 2 for row in held_out})


def test_recordings_are_held_out_where_nobody_knows_who_speaks(tmp_path: Path) -> None:
    """Ten recordings of each of four words: without a word that is held out, there is one fewer to learn."""

    class Words(Letters):
        def __iter__(self) -> Iterator[Item]:
            return (replace(item, group=f"unknown: word {int(item.id) % 4}") for item in super().__iter__())

    declared, _ = find_spec(spec_file(tmp_path))
    assert isinstance(declared, LmSpec)
    rows, held_out = split(open_tokens(declared, Words(name="words"), {}), 4)
    assert len(held_out) == 4
    assert {row % 4 for row in rows} == {0, 1, 2, 3}


def test_held_out_examples_cost_what_all_their_symbols_cost_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten examples in batches of four, the last two weigh what two do; each form has batches of its own."""
    declared, _ = find_spec(spec_file(tmp_path))
    assert isinstance(declared, LmSpec)
    tokens = open_tokens(declared, Letters(), {})
    seen: list[list[str]] = []

    def counted(batch: TokenBatch) -> Mapping[str, Tensor]:
        seen.append([example.form for example in batch.examples])
        lengths = torch.tensor([float(len(each.streams["text"][0])) for each in batch.examples])
        return {"ar.loss": lengths.square().sum() / lengths.sum(), f"ar.{NUM_PREDICTED}": lengths.sum()}

    learner = LmLearner(tokens.spec, None)
    monkeypatch.setattr(learner, "validate", counted)
    rows = np.arange(10)
    found = TokenValidation(tokens, rows, 4)(learner, torch.device("cpu"))
    lengths = [
        float(len(tokens.example(row, form).streams["text"][0])) for row in rows for form in tokens.forms(row)
    ]
    assert found == pytest.approx({"validation.ar.loss": sum(each**2 for each in lengths) / sum(lengths)})
    assert all(len(set(forms)) == 1 for forms in seen)


def test_a_model_begins_with_the_weights_of_another(model_folder: Path, tmp_path: Path) -> None:
    changes = {"start_from": str(model_folder), "training": {**SPEC["training"], "num_steps": 1}}
    declared, _ = find_spec(spec_file(tmp_path, changes))
    assert isinstance(declared, LmSpec)
    learner = LmLearner(open_tokens(declared, Letters(), {}).spec, model_folder)
    other = LanguageModel(model_folder, trusts_code=True)
    for name, tensor in learner.networks.state_dict().items():
        assert torch.equal(tensor, other.networks.state_dict()[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimension": 64}, r"the stage ar of mini cannot begin with it: transformer\..*"),
        ({"num_layers": 2}, r"transformer\..*_layers\.1\..* here, and nothing there"),
        ({"positions": "learned"}, r"transformer\.places\.weight is \(64, 32\) here, and nothing there"),
    ],
)
def test_a_model_does_not_begin_with_one_of_another_network(
    model_folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    network = {"network": {**SPEC["network"], **changes}}
    declared, _ = find_spec(spec_file(tmp_path, {**network, "start_from": str(model_folder)}))
    assert isinstance(declared, LmSpec)
    with pytest.raises(UsageError, match=message):
        LmLearner(open_tokens(declared, Letters(), {}).spec, model_folder)


def test_a_model_does_not_begin_with_one_of_another_tokenizer(model_folder: Path) -> None:
    other = LanguageModel(model_folder, trusts_code=True)
    source = other.spec.streams["acoustic"]
    mine, theirs = (
        other.spec.model_copy(
            update={
                "streams": {
                    **other.spec.streams,
                    "acoustic": source.model_copy(update={"tokenizer_sha256": each, "tokenizers": (each,)}),
                }
            }
        )
        for each in ("ours", "theirs")
    )
    other.spec = theirs
    with pytest.raises(UsageError, match="its stream 'acoustic' is of theirs, and that of mini of ours"):
        _expect_same_tokenizers(mine, other)


def test_what_a_spec_changes_of_its_network_it_changes_of_what_it_begins_with() -> None:
    changes = {"network": {"num_layers": 1}, "training": {"num_steps": 3}, "streams": {"answer": {"like": "units"}}}
    assert _of_both("gslm", "tiny", changes) == {"network": {"num_layers": 1}}
    units = {"streams": {"units": {"tokenizers": ["w2v-bert-tiny-km100"]}}}
    assert _of_both("gslm", "tiny", units) == units


@pytest.mark.parametrize("scale", ["paper", "small", "tiny"])
def test_shipped_models_have_the_network_of_what_they_begin_with(scale: str) -> None:
    specs = [spec for spec in (find_spec(name, scale)[0] for name in list_lms()) if isinstance(spec, LmSpec)]
    pairs = [(spec, find_spec(spec.start_from, scale)[0]) for spec in specs if spec.start_from]
    assert len(pairs) == 3
    for spec, start in pairs:
        assert isinstance(start, LmSpec)
        # What is dropped out in training is no matter of weights.
        assert spec.network == start.network.model_copy(update={"dropout": spec.network.dropout}), spec.name


def test_what_was_learnt_from_is_counted_over_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared, _ = find_spec(spec_file(tmp_path))
    assert isinstance(declared, LmSpec)
    tokens = open_tokens(declared, Letters(), {})
    batch = TokenBatch(tuple(tokens.example(row, "tts") for row in range(4)))
    counted = []
    for number in (1, 3):
        monkeypatch.setattr("tokbench.training.lm.sum_over_processes_", lambda values, times=number: values * times)
        learner = LmLearner(tokens.spec)
        torch.manual_seed(0)
        assert len(list(learner.turns(batch, Progress(0, 4)))) == 2
        counted.append(float(learner.num_tokens))
    assert counted[1] == 3 * counted[0] > 0


def test_prompts_are_learnt_and_nothing_else(model_folder: Path, tmp_path: Path) -> None:
    stages = {"ar": {**SPEC["stages"]["ar"], "prompts": {"length": 3}}}
    training = {**SPEC["training"], "num_steps": 5}
    changes = {"stages": stages, "start_from": str(model_folder), "training": training}
    folder = train_lm(spec_file(tmp_path, changes), Letters(), tmp_path / "lm", scale="paper")
    before, after = (
        LanguageModel(model_folder, trusts_code=True).networks["ar"].state_dict(),
        LanguageModel(folder, trusts_code=True).networks["ar"].state_dict(),
    )
    assert {name for name in after if name not in before} == {"transformer.stack._layers.0.prompts"}
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_stage_without_an_example_takes_its_turn_and_stays_as_it_is(tmp_path: Path) -> None:
    """Where one process has none, another may have, and waits for the gradients of all."""
    optimizer = {"learning_rate": 1e-2, "clip_norm": 1.0, "weight_decay": 0.1}
    changes = {"training": {**SPEC["training"], "num_steps": 4, "optimizer": optimizer}}
    declared, _ = find_spec(spec_file(tmp_path, changes))
    assert isinstance(declared, LmSpec)
    tokens = open_tokens(declared, Letters(), {})
    both, heard = (TokenBatch(tuple(tokens.example(row, form) for row in range(4))) for form in ("tts", "asr"))
    learner = LmLearner(tokens.spec)
    for batch in (both, heard):
        assert [turn.optimizer for turn in learner.turns(batch, Progress(0, 4))] == ["ar", "nar"]
    loop = Loop(learner, Batches([both, heard, heard, both]), Processes.start("cpu"), seed=0)
    steps, states = iter(loop), []
    for _ in range(3):
        next(steps)
        states.append({name: tensor.clone() for name, tensor in loop.state().items()})
    own = [name for name in states[0] if name.startswith(("learner.networks.nar.", "optimizer.nar."))]
    assert any("exp_avg" in name for name in own), "momentum is there, which would go on"
    assert all(torch.equal(states[0][name], later[name]) for name in own for later in states[1:])
    assert not torch.equal(*(state["learner.networks.ar.embedding.weight"] for state in states[:2]))


@dataclass
class Batches:
    """Batches that are given."""

    given: list[TokenBatch]
    batch_size: int = 4
    num_processes: int = 1

    def __getitem__(self, step: int) -> TokenBatch:
        return self.given[step]

    def steps(self, first: int, end: int) -> Iterator[TokenBatch]:
        return iter(self.given[first:end])


def test_a_codec_is_spoken_and_heard(corpus: Corpus, tmp_path: Path) -> None:
    """With a real tokenizer: codes are made of audio, continued, and decoded."""
    stages = {
        "lm": {
            "parts": {"codes": {"stream": "acoustic", "layout": {"kind": "delay"}}},
            "forms": {"sc": {"outputs": ["codes"]}},
        }
    }
    training = {**SPEC["training"], "num_steps": 4, "batch_size": 2}
    network = {**SPEC["network"], "context": 400}
    changes = {"stages": stages, "training": training, "network": network}
    codec = "spectrogram-kmeans:2x256"
    folder = train_lm(
        spec_file(tmp_path, changes), CorpusMaterial(corpus), tmp_path / "lm", scale="paper", codec=codec
    )
    model = LanguageModel(folder, trusts_code=True)
    assert model.spec.streams["acoustic"].tokenizers == (codec,)  # type: ignore[union-attr]
    utterance = next(iter(corpus)).read()
    begun = Audio(utterance.samples[:, : utterance.sample_rate_hz // 2], utterance.sample_rate_hz)
    (found,) = model.generate([Request({}, begun={"audio": begun}, duration_s=0.4)])
    audio = model.audio(found)
    assert audio.duration_s == pytest.approx(0.4, abs=0.03)
    assert model.audio(found, whole=True).duration_s == pytest.approx(0.9, abs=0.03)
    (scores,) = model.score([Item("x", {"audio": utterance})])
    assert scores.duration_s == pytest.approx(utterance.duration_s)
    assert scores.nats > 0


def test_what_is_begun_of_features_is_not_heard_again(corpus: Corpus, tmp_path: Path) -> None:
    """More frames are begun than a frame has features."""
    codec = "spectrogram-kmeans:2x256"
    features = {"kind": "features", "features": "quantized", "dimension": 80, "frame_rate_hz": 50.0}
    changes = {
        "codec": ["acoustic", "sum"],
        "streams": {**SPEC["streams"], "sum": features},
        "network": {**SPEC["network"], "context": 1000},
        "stages": {
            "vocoder": {
                "objective": {"kind": "regression"},
                "parts": {"sum": {"stream": "sum", "plus": ["acoustic"]}},
                "forms": {"sum": {"inputs": ["acoustic"], "outputs": ["sum"]}},
            }
        },
        "training": {**SPEC["training"], "num_steps": 1, "batch_size": 1},
    }
    material = CorpusMaterial(corpus)
    folder = train_lm(spec_file(tmp_path, changes), material, tmp_path / "lm", scale="paper", codec=codec)
    model = LanguageModel(folder, trusts_code=True)
    utterance = next(iter(corpus)).read()
    begun = Audio(utterance.samples.repeat(1, 2), utterance.sample_rate_hz)
    assert begun.duration_s > 80 / 50.0
    whole = Audio(utterance.samples.repeat(1, 3)[:, : round(3.4 * 16000)], 16000)
    (found,) = model.generate([Request({"audio": whole}, begun={"audio": begun})])
    assert found.num_new("sum") == 20
    assert model.audio(found).duration_s == pytest.approx(0.4, abs=0.03)
    assert model.audio(found, whole=True).duration_s == pytest.approx(begun.duration_s + 0.4, abs=0.03)


def test_a_tokenizer_with_streams_of_several_rates_is_told(tmp_path: Path) -> None:
    declared, _ = find_spec(spec_file(tmp_path))
    assert isinstance(declared, LmSpec)
    with pytest.raises(UsageError, match=r"streams.acoustic: log-mel:.* no codes|has no stream"):
        load_tools(declared, "log-mel")


@pytest.mark.parametrize("is_there", ["nothing", "the rest of another", "another"])
def test_tokens_that_another_process_made_meanwhile_stay(tmp_path: Path, is_there: str) -> None:
    temporary, folder = tmp_path / "temporary", tmp_path / "tokens"
    for path, content in ((temporary, "ours"), (folder, "theirs")):
        with ShardWriter(path, {"codes": Column("int16", 1)}) as writer:
            writer.append({"codes": np.zeros((2, 1), np.int64)}, {"id": content})
    if is_there == "nothing":
        shutil.rmtree(folder)
    elif is_there == "the rest of another":
        (folder / INDEX_FILE).unlink()
    _move(temporary, folder)
    assert Shards.is_complete(folder)
    assert [note["id"] for note in Shards(folder).notes()] == (["theirs"] if is_there == "another" else ["ours"])
