"""The tasks that are shipped, each with its own model made very small, on sounds that can be learnt by heart.

What is asked was learnt, under another name: a model that has learnt it is right, and nothing else is. The codec
tells the level of each 20 ms, and is its own oracle: codes that are right sound like the resynthesis.
"""

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from pooling import pooled
from safetensors.torch import load_file

from tokbench.audio import Audio
from tokbench.codecs.registry import fingerprint, load, one
from tokbench.corpora.base import Utterance
from tokbench.corpora.registry import open_corpus
from tokbench.errors import SpecError
from tokbench.lm.items import CorpusMaterial, InAnyForm
from tokbench.lm.language_model import Generated, LanguageModel, Request
from tokbench.records import CodecSummary
from tokbench.runners.base import Bench, Measurement
from tokbench.runners.lm import GeneratingLmRunner, LmRunner
from tokbench.runners.lm_items import TaskItems
from tokbench.runners.lm_outputs import Examination, written_content
from tokbench.runners.lm_scores import SUMS, Output
from tokbench.runners.registry import make_runner
from tokbench.specs.base import write_toml
from tokbench.specs.codec import find_spec
from tokbench.specs.lm import LmSpec, Prompts
from tokbench.specs.lm_card import LmCard
from tokbench.specs.scales import overlaid
from tokbench.specs.task import Task, find_task
from tokbench.store import CodeStore
from tokbench.training.lm import train_lm
from tokbench.training.train import Options

CODEC = '''
import torch
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

TONE = torch.tensor([1.0] * 4 + [-1.0] * 4)
INFO = TokenizerInfo(sample_rate_hz=8000, streams=(StreamInfo(1, 8, 50),), name="level")

class Level(Codec):
    """The level of each 20 ms, in 8 steps."""

    info = INFO

    def _encode(self, samples):
        padded = torch.nn.functional.pad(samples, (0, -samples.shape[1] % 160))
        return [(padded.reshape(1, -1, 160).abs().mean(dim=2) * 16).round().long().clamp(0, 7)]

    def _decode(self, streams):
        return (streams[0] / 16).repeat_interleave(160, dim=1) * TONE.repeat(20 * streams[0].numel())
'''
RATE_HZ, FRAME = 8000, 160
TONE = (1.0,) * 4 + (-1.0,) * 4
WORDS = (("on", "fan", "bath"), ("off", "lamp", "hall"), ("on", "tap", "yard"), ("off", "door", "shed"))
TOLD = ("falling rain", "a wailing siren", "an electric hum", "hissing steam")
MANNERS = ("happy", "sad")
COMPANIONS = ("target", "noise", "enrolment")


def sound(number: int, kind: str) -> np.ndarray:
    """Return 0.2 s, louder and louder or less and less so, in quiet steps or loud ones.

    Each pair has the same levels in another order: whoever is told them shuffled cannot know which it was.
    """
    steps = np.repeat(np.arange(4), (2, 3, 3, 2))[:: 1 if number % 2 else -1] + 4 * (number // 2 % 2)
    levels = (7 - steps if kind else steps) / 16
    return np.repeat(levels, FRAME) * np.tile(TONE, len(levels) * FRAME // len(TONE))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "level.py").write_text(CODEC)
    rows, times = [], []
    for split, repeats in (("train", 4), ("test", 1)):
        for number, words in enumerate(WORDS * repeats):
            name = f"{split}-{number}"
            companions = {}
            for kind in ("", *COMPANIONS):
                path = f"{name}{kind}.wav"
                soundfile.write(tmp_path / path, sound(number % len(WORDS), kind), RATE_HZ)
                companions[f"{kind}_path".lstrip("_")] = path
            rows.append(
                {
                    **companions,
                    **dict(zip(("action", "object", "room"), words, strict=True)),
                    "id": name,
                    "split": split,
                    "speaker": "ann",
                    "language": "de",
                    "text": " ".join(words),
                    "target_text": f"{words[1]} {words[0]}",
                    "target_language": "en-us",
                    "manner": MANNERS[number % 2],
                    "caption": TOLD[number % len(TOLD)],
                    "captions": f"{TOLD[number % len(TOLD)]} | the sound of {TOLD[number % len(TOLD)]}",
                    "instrument": MANNERS[number % 2],
                    "key": "C",
                    "mode": "major",
                    "edited_word": "1",
                }
            )
            times += [(name, "word", 0.06 * place, 0.06 * (place + 1), word) for place, word in enumerate(words)]
    write(tmp_path / "manifest.csv", rows)
    with (tmp_path / "alignments.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "tier", "start_s", "end_s", "label"), *times])
    return tmp_path / "manifest.csv"


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def without_companions(manifest: Path) -> None:
    """Let recordings be what they are, and not what is to become of them."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [name for name in rows[0] if name.removesuffix("_path") not in COMPANIONS]
    write(manifest, [{name: row[name] for name in kept} for row in rows])


def tiny(num_steps: int) -> dict[str, Any]:
    """Return the changes that make a model very small, and quickly trained."""
    sizes = {"num_layers": 2, "num_heads": 2, "dimension": 64, "feedforward_dimension": 64, "context": 256}
    every = {f"{what}_every_steps": num_steps for what in ("log", "validate", "checkpoint")}
    training = {
        "num_steps": num_steps,
        "batch_size": 8,
        "num_held_out": 0,
        "keep": "last",
        "optimizer": {"learning_rate": 1e-2},
    }
    return {"network": sizes, "training": {**training, **every}}


def small(manifest: Path, name: str, metrics: tuple[str, ...], num_steps: int, **arguments: Any) -> Task:
    """Return the task ``name`` with its model made small, and with nobody who listens."""
    asked, _ = find_task(name)
    own = {
        key: value
        for key, value in asked.arguments.items()
        if key not in {"recognizer", "vocabulary", "lesson", "classifier", "speaker", "corpus", "begun_s"}
    }
    merged = overlaid(own, {"changes": overlaid(tiny(num_steps), arguments.pop("changes", {})), **arguments})
    facts = tuple(metric for metric in asked.metrics if metric.startswith("lm_num"))
    return asked.model_copy(
        update={
            "corpus": f"manifest:{manifest}?split=test",
            "metrics": (*metrics, *facts),
            "arguments": merged,
        }
    )


def bench_of(manifest: Path) -> Bench:
    reference = one(f"{manifest.parent}/level.py:Level")
    return Bench(load(reference), fingerprint(reference), CodeStore(), reference=reference.text)


def measured(runner: LmRunner, bench: Bench) -> list[Measurement]:
    corpus = open_corpus(runner.task.corpus)
    utterances = [*(corpus if runner.tier is None else corpus.with_intervals(runner.tier))]
    runner.work_ahead(bench, utterances)
    return [runner.measure(bench, item, with_examples=False) for item in utterances]


@pytest.mark.parametrize(
    ("name", "metrics"), [("lm-tts", ("warped_mcd_db",)), ("lm-asr", ("wer",)), ("lm-sc", ("frechet_log_mel",))]
)
def test_several_at_once_come_to_the_same_as_each_alone(
    manifest: Path, name: str, metrics: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_companions(manifest)
    runner, bench = make_runner(small(manifest, name, metrics, 3, num_seeds=2)), bench_of(manifest)
    assert isinstance(runner, LmRunner)
    assert runner.num_at_once > 1
    runner.learn(bench)
    together = measured(runner, bench)
    sizes: list[int] = []
    generate = LanguageModel.generate

    def counted(model: LanguageModel, requests: Sequence[Request], **options: Any) -> list[Generated]:
        sizes.append(len(requests))
        return generate(model, requests, **options)

    monkeypatch.setattr(LanguageModel, "generate", counted)
    measured(runner, bench)
    num_utterances = len(together)
    assert set(sizes) == {num_utterances}
    monkeypatch.setattr(LmRunner, "work_ahead", lambda *_: None)
    alone = measured(runner, bench)
    assert sizes[-1] == 1
    assert [(each.facts, each.payload) for each in alone] == [(each.facts, each.payload) for each in together]


def found(manifest: Path, asked: Task) -> dict[tuple[str, str], float]:
    """Learn, ask everything, and return the means by metric and group."""
    runner = make_runner(asked)
    assert isinstance(runner, LmRunner)
    assert runner.missing() is None
    bench = bench_of(manifest)
    runner.prepare()
    runner.learn(bench)
    rows = measured(runner, bench)
    told = [name for name in runner.asked if name not in SUMS]
    summaries = pooled(runner, [row.payload for row in rows], *told)
    assert not [reason for summary in summaries for reason in summary.reasons]
    assert not [failure for row in rows for failure in row.failures.values()]
    return {(item.name, item.group): item.value for item in summaries if item.value is not None}


WRITTEN: Mapping[str, tuple[str, float, int]] = {
    "lm-slu": ("slot_f1", 1.0, 100),
    "lm-mt": ("chrf", 100.0, 150),
}
"""Metric, its value for what is learnt by heart, and steps that this takes."""


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_learnt_by_heart_is_written_without_a_mistake_and_nothing_else_is(
    manifest: Path, name: str
) -> None:
    metric, perfect, num_steps = WRITTEN[name]
    if name != "lm-mt":
        without_companions(manifest)
    values = found(manifest, small(manifest, name, (metric,), num_steps, sampling={"beam": 2, "max_symbols": 50}))
    assert values[metric, "all"] == pytest.approx(perfect)
    floors = {"untrained"} if name == "lm-mt" else {"untrained", "shuffled"}
    assert {group for each, group in values if each == metric} == {"all", "guess"} | floors
    for group in floors:
        assert abs(values[metric, group] - perfect) > 0.3 * max(perfect, 1.0), group


HEARD = {"lm-sped": 100, "lm-s2st": 200, "lm-pc": 80}
"""Steps that it takes."""


@pytest.mark.parametrize("name", HEARD)
def test_what_is_learnt_by_heart_sounds_like_the_resynthesis_and_nothing_else_does(
    manifest: Path, name: str
) -> None:
    is_continued = name == "lm-pc"
    own: dict[str, Any] = {"sampling": {"temperature": [0.0], "max_s": 1.0, "max_symbols": 15}}
    if is_continued:
        without_companions(manifest)
        semantic = {"tokenizers": [f"{manifest.parent}/level.py:Level"]}
        own |= {"begun_s": 0.1, "changes": {"streams": {"semantic": semantic}}}
    values = found(manifest, small(manifest, name, ("log_spectral_distance_db",), HEARD[name], **own))
    distances = {group: value for (metric, group), value in values.items() if metric.startswith("log_spectral")}
    is_made_of = {"input"} if name == "lm-s2st" else set()
    assert set(distances) == {"all", "untrained", "swapped", "ceiling", "original"} | is_made_of
    assert distances["original"] == 0.0
    assert distances["all"] == pytest.approx(distances["ceiling"], abs=0.1)
    floors = {"untrained", "swapped"} | is_made_of
    assert min(distances[group] for group in floors) > distances["ceiling"] + 1.0


def test_what_is_to_be_cleaned_is_heard_as_it_is(manifest: Path) -> None:
    for path in manifest.parent.glob("*target.wav"):
        shutil.copy(path.with_name(path.name.replace("target", "")), path)
    values = found(manifest, small(manifest, "lm-se", ("log_spectral_distance_db",), 1))
    assert values["log_spectral_distance_db", "input"] == 0.0


def test_a_voice_that_is_changed_is_compared_with_the_one_that_was_asked_for(manifest: Path) -> None:
    runner = make_runner(find_task("lm-vc")[0])
    assert isinstance(runner, LmRunner)
    assert runner.asked == ("speaker_similarity", "cer", "warped_mcd_db")
    assert runner.arguments.speaker == "resemblyzer"
    runner = make_runner(small(manifest, "lm-vc", ("stoi",), 1))
    assert isinstance(runner, LmRunner)
    first = next(iter(open_corpus(runner.task.corpus)))
    item = runner._asked_items.item(first)
    examination = Examination(runner.arguments, bench_of(manifest), manifest.parent, is_aloud=True)
    examination.__dict__["trained"] = SimpleNamespace(spec=runner._spec, given=lambda _, contents: contents)
    outputs = dict(examination.recordings(first, item))
    original, given = (outputs[group] for group in ("original", "input"))
    assert isinstance(original, Output)
    assert isinstance(given, Output)
    assert original.voice is not None
    assert original.voice.samples.equal(first.read_companion("enrolment").samples)
    assert given.sound.samples.equal(first.read().samples)


def test_each_side_of_stereo_is_heard_by_itself(manifest: Path) -> None:
    """A codec that loses nothing of either side leaves them where they are."""
    without_companions(manifest)
    for path in manifest.parent.glob("*.wav"):
        left, rate_hz = soundfile.read(path)
        right = np.sign(left) * np.floor(8 * np.abs(left)) / 16
        soundfile.write(path, np.stack([left, right], axis=1), rate_hz)
    values = found(manifest, small(manifest, "lm-sg", ("side_error_db",), 1))
    sides = {group: value for (metric, group), value in values.items() if metric == "side_error_db"}
    assert set(sides) == {"all", "untrained", "swapped", "ceiling", "original"}
    assert sides["ceiling"] == sides["original"] == 0.0


SWITCHES = {
    "lm-perplexity-flatten": ("lm-perplexity", {"stages.lm.parts.runs.layout"}),
    "lm-perplexity-parallel": ("lm-perplexity", {"stages.lm.parts.runs.layout"}),
    "lm-sc-acoustic": (
        "lm-sc",
        {"streams.semantic", "stages.semantic", "stages.coarse.forms.sc.inputs", "stages.coarse.parts.units"},
    ),
    "lm-kws-continuous": ("lm-kws", {"codec", "streams.heard", "streams.acoustic", "stages.lm.parts.heard"}),
    "lm-tts-no-phones": ("lm-tts", {"stages.nar.forms.tts.inputs"}),
    "lm-tts-one-step": ("lm-tts", {"codec", "streams.latent", "stages.nar", "stages.vocoder"}),
}
"""Tasks that turn one switch of another one's model, and what differs in it."""


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_turns_nothing_else(name: str) -> None:
    base, expected = SWITCHES[name]
    asked, other = (find_task(each)[0] for each in (name, base))
    assert (asked.corpus, asked.kind, asked.metrics) == (other.corpus, other.kind, other.metrics)
    specs = []
    for task in (asked, other):
        runner = make_runner(task)
        assert isinstance(runner, LmRunner)
        specs.append(runner._spec.model_dump(exclude={"name", "title", "source", "scales"}))
    found = set(_differing(*specs))
    assert all(any(f"{key}.".startswith(f"{prefix}.") for prefix in expected) for key in found), found
    assert all(any(f"{key}.".startswith(f"{prefix}.") for key in found) for prefix in expected), found


def _differing(one: Any, other: Any, key: str = "") -> Iterator[str]:
    """Yield the keys at which two tables differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in {*one, *other}:
            yield from _differing(one.get(name), other.get(name), f"{key}.{name}".lstrip("."))
    elif one != other:
        yield key


def test_who_listens_to_the_recording_says_what_could_have_been_written(manifest: Path) -> None:
    without_companions(manifest)
    recipe = {"head": "bilstm", "width": 16, "learning_rates": [0.02], "batch_size": 4, "max_epochs": 20}
    classifier = {"label": "manner", "recipe": {**recipe, "patience": 0, "num_seeds": 1}}
    values = found(manifest, small(manifest, "lm-ser", ("answer_accuracy",), 2, classifier=classifier))
    groups = {group for metric, group in values if metric == "answer_accuracy"}
    assert groups == {"all", "untrained", "shuffled", "guess", "ceiling", "original"}
    # The resynthesis is the recording, so that whoever hears one hears the other.
    assert values["answer_accuracy", "ceiling"] == values["answer_accuracy", "original"] > 0.5


MUFFLED = """
class Muffled(Level):
    \"\"\"What was quiet becomes loud, and the other way round.\"\"\"

    def _decode(self, streams):
        return super()._decode([7 - streams[0]])
"""


def muffled(manifest: Path) -> Bench:
    with (manifest.parent / "level.py").open("a") as file:
        file.write(MUFFLED)
    reference = one(f"{manifest.parent}/level.py:Muffled")
    return Bench(load(reference), fingerprint(reference), CodeStore(), reference=reference.text)


def test_what_comes_out_of_a_codec_is_heard_by_who_knows_its_sound(manifest: Path) -> None:
    """And recordings by who knows recordings, who would take each of its sounds for the other one."""
    without_companions(manifest)
    bench = muffled(manifest)
    recipe = {"head": "bilstm", "width": 16, "learning_rates": [0.02], "batch_size": 4, "max_epochs": 30}
    classifier = {"label": "loudness", "recipe": {**recipe, "patience": 0, "num_seeds": 1}}
    with_loudness(manifest)
    asked = small(manifest, "lm-ser", ("answer_accuracy",), 2, classifier=classifier, contents={"text": "loudness"})
    runner = make_runner(asked)
    assert isinstance(runner, LmRunner)
    runner.prepare()
    runner.learn(bench)
    values = {
        item.group: item.value
        for item in pooled(runner, [row.payload for row in measured(runner, bench)], "answer_accuracy")
        if item.name == "answer_accuracy"
    }
    assert values["ceiling"] == values["original"] == 1.0
    utterances = list(open_corpus(asked.corpus))
    listeners = runner.judges.to_codec(bench)
    for utterance in utterances:
        heard = bench.decode(bench.encode(utterance.read()).codes)[0]
        told = {who.text(output_of(utterance, heard)) for who in (listeners, listeners.to_originals)}
        assert told == {"quiet", "loud"}


def test_a_recognizer_that_is_taught_knows_the_sound_of_a_codec_too(manifest: Path) -> None:
    without_companions(manifest)
    bench = muffled(manifest)
    with_loudness(manifest)
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    write(manifest, [{**row, "text": row["loudness"]} for row in rows])
    recipe = {
        "width": 32,
        "num_layers": 2,
        "kernel": 3,
        "learning_rates": [0.01],
        "batch_size": 4,
        "max_epochs": 60,
    }
    lesson = {"units": "characters", "recipe": recipe}
    asked = small(manifest, "lm-asr", ("wer",), 2, recognizer="ctc", vocabulary=[], lesson=lesson)
    runner = make_runner(asked)
    assert isinstance(runner, LmRunner)
    runner.prepare()
    runner.learn(bench)
    listeners = runner.judges.to_codec(bench)
    for utterance in open_corpus(asked.corpus):
        recording = utterance.read()
        heard = bench.decode(bench.encode(recording).codes)[0]
        assert listeners.text(output_of(utterance, heard)) == utterance.text
        assert listeners.to_originals.text(output_of(utterance, recording)) == utterance.text
        assert listeners.to_originals.text(output_of(utterance, heard)) != utterance.text


def with_loudness(manifest: Path) -> None:
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["loudness"] = "loud" if number // 2 % 2 else "quiet"
    write(manifest, rows)


def output_of(utterance: Utterance, audio: Audio) -> Output:
    return Output(utterance, "de", audio=audio)


def test_an_answer_is_swapped_with_one_to_most_of_another_question(manifest: Path) -> None:
    runner = make_runner(small(manifest, "lm-s2st", ("log_spectral_distance_db",), 1))
    assert isinstance(runner, GeneratingLmRunner)
    for utterance in open_corpus(runner.task.corpus):
        partner = runner._asked_items.partner(utterance)
        assert partner.text != utterance.text
        assert partner.labels["caption"] != utterance.labels["caption"]


def test_a_guess_is_the_best_single_answer_of_the_training_part(manifest: Path) -> None:
    """By each metric: the commonest is right most often, one that shares slots with others has more of those."""
    runner = make_runner(small(manifest, "lm-slu", ("answer_accuracy", "slot_f1"), 1))
    assert isinstance(runner, LmRunner)
    answers = [str(item.contents["text"]) for item in runner._learnt_items]
    shared = {text: sum(len({*text.split("; ")} & {*other.split("; ")}) for other in answers) for text in answers}
    assert answers.count(runner._guesses["answer_accuracy"]) == max(map(answers.count, answers))
    assert shared[runner._guesses["slot_f1"]] == max(shared.values())


def test_voices_are_compared_as_they_come_out_of_the_codec(manifest: Path) -> None:
    runner = make_runner(find_task("lm-vc")[0].model_copy(update={"corpus": f"manifest:{manifest}?split=test"}))
    assert isinstance(runner, LmRunner)
    first, bench = next(iter(open_corpus(runner.task.corpus))), bench_of(manifest)
    examination = Examination(runner.arguments, bench, manifest.parent, is_aloud=True)
    examination.__dict__["trained"] = SimpleNamespace(spec=runner._spec, given=lambda _, contents: contents)
    outputs = dict(examination.recordings(first, runner._asked_items.item(first)))
    ceiling, original = (outputs[group] for group in ("ceiling", "original"))
    assert isinstance(ceiling, Output)
    assert isinstance(original, Output)
    enrolment = first.read_companion("enrolment")
    expected = bench.decode(bench.encode(enrolment).codes)[0]
    assert ceiling.voice is not None
    assert original.voice is not None
    assert ceiling.voice.samples.equal(expected.samples)
    assert original.voice.samples.equal(enrolment.samples)


def test_a_prompted_model_stays_as_it_is(manifest: Path) -> None:
    without_companions(manifest)
    material = CorpusMaterial(open_corpus(f"manifest:{manifest}?split=train"))
    codec, start = f"{manifest.parent}/level.py:Level", manifest.parent / "start"
    train_lm("gslm", material, start, codec=codec, options=Options(changes=tiny(2)))
    changes = {"start_from": str(start)}
    runner = make_runner(small(manifest, "lm-kws-prompt", ("answer_accuracy",), 2, changes=changes))
    assert isinstance(runner, LmRunner)
    bench = bench_of(manifest)
    runner.learn(bench)
    before, after = (load_file(folder / "weights.safetensors") for folder in (start, runner.folder(bench)))
    # The table of symbols has grown by those of the answers.
    kept = [name for name in before if name in after and before[name].shape == after[name].shape]
    assert len(kept) > 10
    assert all(before[name].equal(after[name]) for name in kept)
    assert any(name.endswith(".prompts") for name in after.keys() - before.keys())
    (row, *_) = measured(runner, bench)
    assert row.facts["written"] in {"", *(" ".join(words) for words in WORDS)}


def test_a_model_is_known_by_what_it_begins_with_and_hears_beside_the_codec(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, bench = manifest.parent / "another", bench_of(manifest)
    facts = {"num_parameters": 1, "num_steps": 1, "num_tokens": 1, "audio_s": 1.0, "files": {}}
    told = {"title": "", "source": "", "licence": "", "trained_on": (), "scale": "tiny", "seed": 0}
    models, cells = [], []
    for name in ("one", "two"):
        write_toml(start / "lm.toml", LmCard.model_validate({"name": name, **told, **facts}))
        runner = make_runner(
            small(manifest, "lm-kws-prompt", ("answer_accuracy",), 2, changes={"start_from": str(start)})
        )
        assert isinstance(runner, LmRunner)
        assert runner.missing() is None
        models.append(runner.folder(bench))
        cells.append(runner.fingerprint)
    for each in ("before", "after"):  # what makes the semantic units
        monkeypatch.setattr("tokbench.runners.lm.fingerprint", lambda _, state=each: state)
        made = make_runner(small(manifest, "lm-sc", ("frechet_log_mel",), 2))
        assert isinstance(made, LmRunner)
        models.append(made.folder(bench))
        cells.append(made.fingerprint)
    assert len(set(models)) == len(set(cells)) == 4


def test_nothing_begins_where_what_a_model_needs_is_not_there(manifest: Path) -> None:
    without = small(
        manifest, "lm-kws-prompt", ("answer_accuracy",), 2, changes={"start_from": str(manifest.parent / "none")}
    )
    assert "holds no trained language model: there is no lm.toml" in str(make_runner(without).missing())
    changes = {"streams": {"semantic": {"tokenizers": ["hubert-large:9"]}}}
    deaf = small(manifest, "lm-sc", ("frechet_log_mel",), 2, changes=changes)
    assert "none of hubert-large:9 is there" in str(make_runner(deaf).missing())


def test_prompts_have_no_key_that_nothing_reads() -> None:
    changes = {"stages": {"lm": {"prompts": {"dropout": 0.1}}}}
    with pytest.raises(SpecError, match=r"stages\.lm\.prompts\.dropout: unknown key"):
        find_spec("speechprompt", "tiny", changes=changes)
    spec, _ = find_spec("speechprompt", "tiny")
    assert isinstance(spec, LmSpec)
    assert spec.stages["lm"].prompts == Prompts(length=5)


def test_a_model_that_another_one_begins_with_may_have_other_forms(manifest: Path) -> None:
    items = TaskItems(open_corpus(f"manifest:{manifest}?split=train"), form="kws", renamed={})
    again = InAnyForm(items)
    assert [item.form for item in again] == [""] * len(items)
    assert [item.id for item in again] == [item.id for item in items]
    assert again.names == items.names
    assert again.sha256 != items.sha256


def test_notes_that_are_remarks_are_no_score(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.1), 16000)
    for notes, is_score in (("a bit hoarse", False), ("60:25 62:50", True)):
        (tmp_path / "manifest.csv").write_text(f"path,notes\na.wav,{notes}\n", encoding="utf-8")
        (item,) = TaskItems(open_corpus(f"manifest:{tmp_path / 'manifest.csv'}"), form="sc", renamed={})
        assert ("notes" in item.contents) == is_score


def test_of_several_texts_the_last_is_the_answer() -> None:
    forms = [("valle-x", "s2st"), ("audiopalm", "s2st"), ("viola", "s2tt"), ("unity", "s2st"), ("valle", "tts")]
    for name, form in forms:
        spec, _ = find_spec(name, "tiny")
        assert isinstance(spec, LmSpec)
        assert written_content(spec, form) == "text"
    changed, _ = find_spec("lauragpt", "tiny", changes={"streams": {"text": {"of": "intent"}}})
    assert isinstance(changed, LmSpec)
    assert written_content(changed, "slu") == "intent"


def test_a_caption_of_the_item_is_what_captions_can_be_expected_to_be(manifest: Path) -> None:
    without_companions(manifest)
    values = found(manifest, small(manifest, "lm-aac", ("cider", "event_f1"), 2, sampling={"max_symbols": 5}))
    assert values["event_f1", "original"] == 1.0
    assert values["cider", "original"] > values["cider", "all"]


def test_only_what_a_task_is_about_is_built(manifest: Path) -> None:
    without_companions(manifest)
    values = found(manifest, small(manifest, "lm-slu", ("slot_f1",), 1, sampling={"max_symbols": 5}))
    # Letters, 8 codes and a few signs, read and predicted, and two layers. The vocoder alone would be larger.
    assert values["lm_num_parameters", "all"] < 2.5 * 270 * 64 + 16 * 64 * 64


def test_a_word_is_edited_where_it_is_known_when_it_is_said(manifest: Path) -> None:
    runner = make_runner(small(manifest, "lm-sped", ("stoi",), 1))
    assert isinstance(runner, LmRunner)
    assert runner.tier == "word"
    (utterance, *_) = open_corpus(runner.task.corpus).with_intervals("word")
    contents = runner._asked_items.item(utterance).contents
    spoken = utterance.read().samples
    assert contents["before"].samples.equal(spoken[:, :480])  # type: ignore[union-attr]
    assert contents["after"].samples.equal(spoken[:, 960:])  # type: ignore[union-attr]
    (manifest.parent / "alignments.csv").unlink()
    again = make_runner(runner.task)
    assert "has no alignments: it is not known where its words are" in str(again.missing())


def test_what_cannot_be_asked_is_told_before_work_starts(manifest: Path) -> None:
    without_codes = small(manifest, "lm-mt", ("bleu",), 1, also=[])
    with pytest.raises(SpecError, match="no code of a tokenizer goes in or out where audiopalm does 'mt'"):
        make_runner(without_codes)
    with pytest.raises(SpecError, match=r"arguments\.also: audiopalm has no form 'svs', but asr"):
        make_runner(small(manifest, "lm-mt", ("bleu",), 1, also=["svs"]))
    with pytest.raises(SpecError, match=r"contents: .*expected a name between braces in '\{\} \{room\}'"):
        make_runner(small(manifest, "lm-slu", ("slot_f1",), 1, contents={"text": "{} {room}"}))
    runner = make_runner(small(manifest, "lm-asr", ("wer",), 1))
    codec = CodecSummary(name="two", title="", setting="", licence="", source="", trained_on=())
    assert runner.declines(codec) is None
    alike = codec.model_copy(update={"streams": ("semantic 1 x 8 at 50 Hz", "acoustic 7 x 8 at 50 Hz")})
    assert runner.declines(alike) is None
    differing = codec.model_copy(update={"streams": ("semantic 1 x 500 at 25 Hz", "acoustic 7 x 8 at 50 Hz")})
    assert runner.declines(differing) == (
        "two has streams that differ in rate or size (semantic 1 x 500 at 25 Hz and acoustic 7 x 8 at 50 Hz), and "
        "audiopalm reads one"
    )
    chosen = small(manifest, "lm-asr", ("wer",), 1, changes={"streams": {"units": {"stream": "semantic"}}})
    assert make_runner(chosen).declines(differing) is None


def test_a_beam_for_one_codebook_declines_codecs_of_several_before_work_starts(manifest: Path) -> None:
    codec = CodecSummary(name="eight", title="", setting="", licence="", source="", trained_on=())
    eight = codec.model_copy(update={"streams": ("8 x 1024 at 50 Hz",)})
    single = codec.model_copy(update={"streams": ("1 x 500 at 50 Hz",)})
    runner = make_runner(small(manifest, "lm-s2st-units", ("stoi",), 1))
    assert runner.declines(single) is None
    assert runner.declines(eight) == (
        "eight has 8 codebooks that s2st-units is to write, and the beam of its stage units is for one"
    )
    assert make_runner(small(manifest, "lm-s2st-unity", ("stoi",), 1)).declines(eight) is not None
    without = small(manifest, "lm-s2st-units", ("stoi",), 1, sampling={"beam": 1})
    assert make_runner(without).declines(eight) is None
    # What is read may have any number, and so may what is only found likely.
    for name, metric in (("lm-slu", "slot_f1"), ("lm-perplexity", "lm_perplexity"), ("lm-s2st", "stoi")):
        assert make_runner(small(manifest, name, (metric,), 1)).declines(eight) is None
    two = codec.model_copy(update={"streams": ("semantic 1 x 8 at 50 Hz", "acoustic 7 x 8 at 50 Hz")})
    assert "eight has 8 codebooks" in str(runner.declines(two))
    units = {"changes": {"streams": {"units": {"stream": "semantic"}}}}
    assert make_runner(small(manifest, "lm-s2st-units", ("stoi",), 1, **units)).declines(two) is None


def test_durations_of_one_codebook_decline_codecs_of_several_before_work_starts(manifest: Path) -> None:
    codec = CodecSummary(name="eight", title="", setting="", licence="", source="", trained_on=())
    eight = codec.model_copy(update={"streams": ("8 x 1024 at 50 Hz",)})
    single = codec.model_copy(update={"streams": ("1 x 1024 at 50 Hz",)})
    for task, model in (("lm-perplexity-prosody", "pgslm"), ("lm-perplexity-dialogue", "dgslm")):
        runner = make_runner(small(manifest, task, ("lm_perplexity",), 1))
        assert runner.declines(single) is None
        expected = f"eight has 8 codebooks, and {model} reads one, with how long each of its codes lasts"
        assert runner.declines(eight) == expected


def test_a_text_without_phones_and_a_prompt_that_is_too_long_cost_their_utterance(manifest: Path) -> None:
    manifest.write_text(manifest.read_text().replace("on fan bath", "..."))
    longer = manifest.parent / "test-1.wav"
    samples, rate_hz = soundfile.read(longer)
    soundfile.write(longer, np.tile(samples, 8), rate_hz)
    short = {"network": {"context": 48}}
    runner = make_runner(small(manifest, "lm-sped", ("log_spectral_distance_db",), 1, changes=short))
    assert isinstance(runner, LmRunner)
    bench = bench_of(manifest)
    runner.learn(bench)
    rows = measured(runner, bench)
    reasons = [row.failures["log_spectral_distance_db"].reason for row in rows[:2]]
    assert not any(row.failures for row in rows[2:])
    assert reasons[0] == "espeak-ng: nothing to say in '...'"
    assert "whose context is 48: shorten it, or ask for less" in reasons[1]
