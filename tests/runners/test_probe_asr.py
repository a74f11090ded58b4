"""Recognition from tokens: a whistled language, and a tokenizer that tells which pitch is heard."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pooling import pooled
from tiny.whistled import HOP, QUICK, Pitch, write_whistled

from tokbench.codecs.base import Tokenizer
from tokbench.corpora.base import Utterance
from tokbench.corpora.registry import open_corpus
from tokbench.errors import NotSupportedError, SpecError
from tokbench.metrics.recognition import spelled
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.probe_asr import ProbeAsrRunner, _count
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task

RECIPE = QUICK.model_copy(update={"max_epochs": 12}).model_dump()


class Mute(Pitch):
    """Tells neither what it quantizes nor anything else."""

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        raise NotSupportedError("mute", "latents")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [torch.zeros(2, samples.shape[1] // HOP, dtype=torch.int64)]


def runner(manifest: Path, *metrics: str, **arguments: object) -> ProbeAsrRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="probe-asr",
            question="?",
            corpus=f"manifest:{manifest}",
            interval_by="utterance",
            metrics=metrics,
            arguments={"split": "column", "num_folds": 3, "recipe": RECIPE, **arguments},
        )
    )
    assert isinstance(made, ProbeAsrRunner)
    return made


def summaries(
    made: ProbeAsrRunner, tokenizer: Tokenizer, utterances: Sequence[Utterance]
) -> dict[tuple[str, str], MetricSummary]:
    bench = Bench(tokenizer, "f", None)
    payloads = [made.measure(bench, item, with_examples=False).payload for item in utterances]
    return {(found.name, found.group): found for found in pooled(made, payloads)}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whistled(tmp_path_factory.mktemp("whistled"), number=32, speakers=2, aligned=True)


def test_what_the_tokens_tell_is_written_down(manifest: Path) -> None:
    made = runner(manifest, "probe_wer", "probe_cer", "probe_cer_latents", units="characters")
    assert made.tier is None
    found = summaries(made, Pitch(), list(open_corpus(f"manifest:{manifest}")))
    assert set(found) == {
        ("probe_wer", "all"),
        ("probe_cer", "all"),
        ("probe_wer", "codebook 1"),
        ("probe_cer", "codebook 1"),
        ("probe_cer_latents", "all"),
    }
    for summary in found.values():
        assert summary.value is not None
        assert summary.value < (0.5 if summary.name == "probe_wer" else 0.2)
        assert summary.low is not None
        assert summary.low <= summary.value


def test_phones_are_those_of_the_alignments_and_codes_may_be_embedded(manifest: Path) -> None:
    made = runner(manifest, "probe_per", features="codes", views="all")
    assert made.tier == "phone"
    corpus = open_corpus(f"manifest:{manifest}")
    found = summaries(made, Pitch(), list(corpus.with_intervals("phone")))
    assert list(found) == [("probe_per", "all")]
    value = found["probe_per", "all"].value
    assert value is not None
    assert value < 0.2


@pytest.mark.parametrize("name", ["probe_wer", "probe_cer"])
@pytest.mark.parametrize("text", ["It's the man's book, isn't it?", "I DON'T KNOW -- what YOU'D say"])
def test_what_is_written_as_it_was_taught_has_no_errors(name: str, text: str) -> None:
    """An apostrophe, which it was not taught, is none: of "it's", a normalization of English makes two words."""
    assert _count(name, text, spelled(text), "en").score.total == 0
    assert _count(name, text, spelled(text).replace("s", "t"), "en").score.total > 0


def test_a_digit_heard_wrongly_is_one_word_of_three() -> None:
    wrong = _count("probe_wer", "Three one two", "three on two", "en-us")
    assert (wrong.score.total, wrong.score.weight) == (1, 3)
    wrong = _count("probe_cer", "Three one two", "three on two", "en-us")
    assert (wrong.score.total, wrong.score.weight) == (1, len("three one two"))


def test_tokens_that_tell_nothing_leave_all_wrong(manifest: Path) -> None:
    made = runner(manifest, "probe_cer", "probe_cer_latents", units="characters", views="all")
    found = summaries(made, Mute(), list(open_corpus(f"manifest:{manifest}")))
    value = found["probe_cer", "all"].value
    assert value is not None
    assert value > 0.6
    ceiling = found["probe_cer_latents", "all"]
    assert (ceiling.value, [*ceiling.reasons]) == (None, ["the tokenizer does not tell what it quantizes"])


def test_speakers_may_be_each_other_s_test(manifest: Path) -> None:
    recipe = {**RECIPE, "max_epochs": 1}
    made = runner(manifest, "probe_cer", units="characters", views="all", split="speaker", recipe=recipe)
    utterances = list(open_corpus(f"manifest:{manifest}"))
    found = summaries(made, Pitch(), utterances)
    assert found["probe_cer", "all"].num_ok == len(utterances)
    one = summaries(made, Pitch(), [item for item in utterances if item.speaker == "s0"])
    assert [*one["probe_cer", "all"].reasons] == ["one group by speaker is too few to set the test apart"]


def test_utterances_without_a_text_take_no_part(manifest: Path) -> None:
    made = runner(manifest, "probe_cer", units="characters", recipe={**RECIPE, "max_epochs": 1})
    utterances = list(open_corpus(f"manifest:{manifest}"))
    silent = [replace(item, text="") for item in utterances]
    found = summaries(made, Pitch(), [*utterances[:8], *silent[8:]])
    assert found["probe_cer", "all"].num_ok == len(utterances)
    assert found["probe_cer", "all"].value is not None
    nothing = summaries(made, Pitch(), silent)
    assert nothing["probe_cer", "all"].value is None
    assert [*nothing["probe_cer", "all"].reasons] == ["it is not known of any utterance what is said"]


def test_what_failed_leaves_no_number(manifest: Path) -> None:
    made = runner(manifest, "probe_cer", units="characters")
    (utterance, *_) = open_corpus(f"manifest:{manifest}")
    payload = made.measure(Bench(Pitch(), "f", None), utterance, with_examples=False).payload
    for found in made.summarise([payload, None]):
        assert (found.value, found.num_ok, found.num_total, found.reasons) == (None, 1, 2, {})


def test_texts_that_no_tokenizer_could_tell_are_told(manifest: Path) -> None:
    """At one frame a second there is no room for a text."""
    made = runner(manifest, "probe_cer", units="characters", recipe={**RECIPE, "min_rate_hz": 1.0})
    found = summaries(made, Pitch(), list(open_corpus(f"manifest:{manifest}")))
    assert "texts that fit into their frames" in next(iter(found["probe_cer", "all"].reasons))


def test_metrics_are_those_of_what_is_written(manifest: Path) -> None:
    with pytest.raises(SpecError, match="a recognizer of phones has no probe_wer"):
        runner(manifest, "probe_per", "probe_wer")
    with pytest.raises(SpecError, match=r"arguments.recipe.head"):
        runner(manifest, "probe_per", recipe={"head": "transformer"})
