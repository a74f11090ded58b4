"""Language models of codes: which tokenizer makes the better one, and the better one for what.

Conventions: the model that the task declares is trained on the codes of the training part of the corpus, with the
budget of its spec, and asked of the test part, a few utterances at once. Training comes once for each tokenizer,
and is kept. What the model writes is compared with a text; what it generates is compared with a recording, or
heard by judges, of whom some are taught here on recordings that no codec has touched.

Measures: bits of codes that the model has not seen, by the second, the phone and the code; how often the right one
of a pair is the likelier; and, of outputs, the metrics of :mod:`tokbench.runners.lm_scores`; means over seeds, from
each of which a model is trained. Every result states the parameters of a model, its steps, its tokens, and its
seconds of audio.

Groups: ``all`` is the trained model. Floors stand beside it. ``untrained`` is the same model with random weights,
also where it begins with those of another model. Of what is read, ``shuffled`` has the frames of all codes in a
random order. ``guess`` is one answer to everything: that of the training part which would have been the best one
there, by each metric, of a hundred. ``swapped`` takes what was generated as the answer to another item, of which
other things were asked: a model that does not listen to what it is asked is as good there. ``input`` is what was to
be made into something else, as it is given: what is no better than that was better left alone. ``ceiling`` is what
the tokenizer itself makes of the reference, through the same judge, and ``original`` the reference itself.

A classifier or recognizer that has heard recordings alone does not know the sound of a codec, and may hear less in
what comes out of it than there is. So, for each codec, those that are taught here are taught the same on what it
makes of the same recordings, and hear what comes out of it; voices are compared as they come out of it, too.

Intervals: a bootstrap over utterances, speakers or texts, and over seeds; of one model alone, it is taken as it is.
"""

import functools
import hashlib
import importlib.metadata
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokbench.codecs.registry import fingerprint, one
from tokbench.corpora.registry import open_corpus
from tokbench.corpora.training_part import require_apart, training_part
from tokbench.errors import MissingPackageError, NothingToLoadError, SpecError, UsageError
from tokbench.judges.base import MissingJudgeError
from tokbench.lm.pruning import narrowed_to
from tokbench.paths import cache_dir
from tokbench.records import CodecSummary, MetricSummary
from tokbench.runners.base import TEXT, Bench, Failure, Measurement, Pooled, Runner, attempt
from tokbench.runners.lm_findings import LOST_PARTS, Collected, Findings, ratios
from tokbench.runners.lm_guess import best_answers, score_of
from tokbench.runners.lm_judges import LmJudges
from tokbench.runners.lm_scores import (
    ALL,
    DISTANCES,
    GUESS,
    INPUT,
    LISTENING,
    ORIGINAL,
    SCORES,
    SUMS,
    SWAPPED,
    Listeners,
    Output,
)
from tokbench.specs.codec import find_spec, list_lms
from tokbench.specs.lm import Levels, LmSpec, Next
from tokbench.specs.lm_streams import CodeSource
from tokbench.specs.lm_task import AROUND, LmArguments
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.corpora.base import Corpus, Utterance
    from tokbench.corpora.intervals import Tier
    from tokbench.lm.items import Item
    from tokbench.runners.lm_items import TaskItems
    from tokbench.runners.lm_outputs import Examination
    from tokbench.specs.classifier import ClassLesson
    from tokbench.specs.ctc import Lesson

__all__ = ["GeneratingLmRunner", "LmRunner"]

PAIRS = "pair_accuracy"
BITS = ("lm_bits_per_second", "lm_bits_per_phone", "lm_bits_per_token", "lm_perplexity")
FACTS = ("lm_num_parameters", "lm_num_steps", "lm_num_tokens", "lm_audio_s")
_OF_WRITING = frozenset({"wer", "cer", "per", "bleu", "chrf", "cider", "event_f1", "answer_accuracy", "slot_f1"})
DURATION = "duration_ratio"
_SAME_SWAPPED = frozenset({DURATION, "frechet_log_mel"})
"""Metrics of sums over all items on each side: it makes no difference which output stands beside which item."""
_NUM_HEARD = 1000
"""Items of the training part, from its beginning, that answers are taken from: of a large one, not all is read."""
_NUM_AT_ONCE = 8
"""Utterances that are generated for side by side: a step of several costs little more than a step of one."""
_LAYOUT = 5
"""Raised by any change that makes another model of the same task and codes."""


class LmRunner(Runner):
    """Trains a language model on codes, and asks how likely it finds others, or what it writes."""

    needs_decoder: ClassVar[bool] = False
    corpus_metrics = (*SCORES, *SUMS, PAIRS, *BITS, *FACTS)
    interval_method = "percentile bootstrap over units and seeds"
    facts = {"written": "text", TEXT: "text"}  # noqa: RUF012  (a constant of the class, typed in the base)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(LmArguments)
        self.asked = tuple(name for name in task.metrics if name not in FACTS)
        self.num_at_once = _NUM_AT_ONCE if self._is_generating else 1
        self._loaded: tuple[Bench, list[Examination], Listeners] | None = None
        if found := list(self._problems()):
            raise SpecError(task.id, found)

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong with the task."""
        if {*self.asked} & {PAIRS, *BITS} and {*self.asked} & _OF_WRITING:
            yield "metrics: likelihoods and what is written belong into tasks of their own"
        asked = self.arguments
        lacking = {"classifier": asked.classifier, "speaker": asked.speaker, "recognizer": asked.recognizer}
        for who, there in lacking.items():
            needed = [name for name in LISTENING[who] if name in self.asked]
            if needed and not there and (self.needs_decoder or who != "recognizer"):
                yield f"arguments.{who}: missing, and {', '.join(needed)} cannot do without"
        if DURATION in self.asked and asked.length == "reference":
            yield f"metrics: {DURATION} says nothing where arguments.length is 'reference'"
        wrong_forms = list(self._wrong_forms())
        yield from wrong_forms or self._wrong_stages()

    def _wrong_forms(self) -> Iterator[str]:
        asked = self.arguments
        known = self._declared.forms
        for key, names in {"form": (asked.form,), "also": asked.also}.items():
            for name in names:
                if name not in known:
                    yield f"arguments.{key}: {asked.lm} has no form {name!r}, but {', '.join(known)}"
        if {*self._forms} <= known.keys() and not self._spec.codec:
            yield f"arguments.form: no code of a tokenizer goes in or out where {asked.lm} does {asked.form!r}"

    def _wrong_stages(self) -> Iterator[str]:
        """Yield what the stages of the form cannot do."""
        likely = [name for name in self.asked if name in {PAIRS, *BITS}]
        stages = {name: stage for name, stage in self._spec.stages.items() if self.arguments.form in stage.forms}
        for name, stage in stages.items():
            if likely and not isinstance(stage.objective, Next | Levels):
                told = f"the stage {name} of {self._spec.name} is {stage.objective.kind}, without a likelihood"
                yield f"metrics: {told} for {', '.join(likely)}"
            try:
                self.arguments.sampling_of(self._spec, name)
            except SpecError as error:
                yield from (f"arguments.sampling: {problem} (stage {name})" for problem in error.problems)

    @classmethod
    def interval_method_of(cls, metrics: Iterable[str]) -> str:
        """Return as the base does, with what is done of distances where there are any."""
        distances = DISTANCES.intersection(metrics)
        return f"{cls.interval_method}; jackknife of Fréchet distances" if distances else cls.interval_method

    @classmethod
    def known_metrics(cls) -> frozenset[str]:
        """Return likelihoods, what scores what is written, and facts of the model."""
        return _OF_WRITING | {PAIRS, *BITS, *FACTS}

    # What there is to learn from, and who listens.

    @cached_property
    def measured(self) -> "Corpus":
        """What the model is asked about."""
        return open_corpus(self.task.corpus)

    @cached_property
    def learnt(self) -> "Corpus":
        """What the model is trained on; raises as :func:`open_corpus` and :func:`training_part`."""
        asked = self.arguments
        return open_corpus(asked.corpus or training_part(self.task.corpus, large=asked.large))

    @property
    def tier(self) -> "Tier | None":
        """Phones, where they are counted and the corpus knows them; words, where one of them is edited."""
        if self._is_edited:
            return "word"
        return "phone" if "lm_bits_per_phone" in self.asked and self.measured.has_intervals else None

    @cached_property
    def _is_edited(self) -> bool:
        """Whether the model is given what is before and after a word."""
        inputs = self._spec.forms[self.arguments.form].inputs
        return bool({self._spec.stream(name).of for name in inputs} & {*AROUND})

    def missing(self) -> str | None:
        """Return what a judge lacks, or why there is nothing to learn from."""
        try:
            require_apart(self.learnt, self.measured)
            if self._is_edited and not self.learnt.has_intervals:
                return f"{self.learnt.reference} has no alignments: it is not known where its words are"
            for judge in self.judges.ready():
                judge.require()
            _ = self._companions
        except (UsageError, MissingPackageError, MissingJudgeError, NothingToLoadError) as error:
            return str(error)
        return None

    @cached_property
    def judges(self) -> LmJudges:
        """Who listens."""
        return LmJudges(self.arguments, self.task.corpus, has_captions="cider" in self.asked)

    @property
    def lessons(self) -> "Sequence[tuple[Corpus, Lesson | ClassLesson]]":
        """What judges are taught, and on what; empty where none is to be."""
        return self.judges.lessons

    def prepare(self) -> None:
        """Teach the judges that are taught, unless an earlier run did."""
        if self.lessons:
            from tokbench.training.taught import teach_judge  # noqa: PLC0415  (imports torch)

            for lesson in self.lessons:
                teach_judge(*lesson)
        labels = {name: label for kind, label in self.judges.labels().items() for name in LISTENING[kind]}
        self.metrics = {
            name: replace(metric, judge=labels[name]) if name in labels else metric
            for name, metric in self.metrics.items()
        }

    @property
    def fingerprint(self) -> str:
        """What the model learns, from what and with which others, who listens, and the versions of what counts."""
        learnt = " ".join([str(_LAYOUT), self.learnt.sha256, self._spec.model_dump_json(), *self._companions])
        digest = hashlib.sha256(learnt.encode()).hexdigest()
        judges = self.judges.labels().values()
        versions = (f"{name} {importlib.metadata.version(name)}" for name in ("jiwer", "sacrebleu"))
        return ", ".join([digest, *judges, *versions])

    # The model.

    @property
    def _forms(self) -> tuple[str, ...]:
        """Those that are trained."""
        return (self.arguments.form, *self.arguments.also)

    @cached_property
    def _spec(self) -> LmSpec:
        """The model that the task declares, as far as it is trained."""
        return narrowed_to(self._declared, self._forms)

    @cached_property
    def _declared(self) -> LmSpec:
        """The whole of it; raises :class:`tokbench.errors.UsageError` for none."""
        found, _ = find_spec(self.arguments.lm, self.arguments.scale, changes=self.arguments.changes)
        if not isinstance(found, LmSpec):
            problem = f"arguments.lm: {self.arguments.lm} is the spec of a {found.kind}, and of no language model"
            raise SpecError(self.task.id, [problem])
        return found

    def items(self, corpus: "Corpus", form: str) -> "TaskItems":
        """Return the utterances of ``corpus`` as the model gets them, to be of ``form``; of any if it is empty."""
        from tokbench.runners.lm_items import TaskItems  # noqa: PLC0415  (imports torch)

        return TaskItems(corpus, form=form, renamed=self.arguments.contents, is_edited=self._is_edited)

    @cached_property
    def _asked_items(self) -> "TaskItems":
        return self.items(self.measured, self.arguments.form)

    @cached_property
    def _learnt_items(self) -> "TaskItems":
        return self.items(self.learnt, "" if self.arguments.also else self.arguments.form)

    def folder(self, bench: Bench) -> Path:
        """Return where the model of ``bench`` is kept, by all that decides its weights."""
        import torch  # noqa: PLC0415  (the planner knows runners without it)

        from tokbench.lm.network import COMPUTATION  # noqa: PLC0415  (imports torch)

        facts = (
            f"{_LAYOUT}.{COMPUTATION}",
            self._spec.model_dump_json(),
            self._learnt_items.sha256,
            bench.fingerprint,
            str(bench.seed),
            bench.device.partition(":")[0],
            torch.__version__,
            *self._companions,
        )
        key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
        return cache_dir() / "lms" / key / self._spec.name

    @cached_property
    def _companions(self) -> tuple[str, ...]:
        """What tells the tokenizers beside the one that is asked about, and the model to begin with.

        Raises :class:`NothingToLoadError` where no tokenizer of a stream is there, and :class:`SpecError` where no
        model is.
        """
        return (*self._other_tokenizers(), *self._beginning())

    def _other_tokenizers(self) -> Iterator[str]:
        for name, source in self._spec.streams.items():
            if name not in self._spec.codec and (references := getattr(source, "tokenizers", ())):
                from tokbench.codecs.frozen import first_of  # noqa: PLC0415  (imports torch)

                yield first_of(references, lambda reference: fingerprint(one(reference)))

    def _beginning(self) -> Iterator[str]:
        start = self._spec.start_from
        if start is not None and start in list_lms():
            yield find_spec(start, self.arguments.scale)[0].model_dump_json()
        elif start is not None:
            from tokbench.lm.language_model import read_card  # noqa: PLC0415  (imports torch)

            yield read_card(Path(start)).model_dump_json()

    def learn(self, bench: Bench) -> None:
        """Train a model on the codes of the tokenizer from each seed; what was trained before is left alone."""
        from tokbench.training.lm import train_lm  # noqa: PLC0415  (imports torch)
        from tokbench.training.taught import teach_judge  # noqa: PLC0415
        from tokbench.training.train import Options  # noqa: PLC0415

        for each in self._benches(bench):
            train_lm(
                self.arguments.lm,
                self._learnt_items,
                self.folder(each),
                codec=each.reference,
                scale=self.arguments.scale,
                seed=each.seed,
                forms=self._forms,
                options=Options(changes=self.arguments.changes, device=each.device, waits=True),
            )
        for lesson in self.judges.through(bench):
            teach_judge(*lesson)

    def _benches(self, bench: Bench) -> list[Bench]:
        """Return ``bench`` with the seed of each model: that of the run, and those that follow it."""
        return [replace(bench, seed=bench.seed + place) for place in range(self.arguments.num_seeds)]

    def declines(self, codec: CodecSummary) -> str | None:
        """Return that the streams of ``codec`` differ, where the model does not say which of them it is for.

        Or else that it has several codebooks, where they have durations, or a beam searches for them: both are for
        one.
        """
        told = codec.streams or ()
        # Each says how many codebooks of which size at which rate; how many there are makes no difference.
        kinds = {stream.rpartition(" x ")[2] for stream in told}
        if len(kinds) > 1 and not all(self._is_chosen(name) for name in self._spec.codec):
            listing, model = " and ".join(told), self._spec.name
            return f"{codec.name} has streams that differ in rate or size ({listing}), and {model} reads one"
        for source in map(self._spec.stream, self._spec.codec):
            if isinstance(source, CodeSource) and source.durations and (number := _num_codebooks(source, told)) > 1:
                reads = f"{self._spec.name} reads one, with how long each of its codes lasts"
                return f"{codec.name} has {number} codebooks, and {reads}"
        for stage, num_rows in self._searched(told):
            if num_rows > 1:
                wanted = f"{num_rows} codebooks that {self._spec.name} is to write"
                return f"{codec.name} has {wanted}, and the beam of its stage {stage} is for one"
        return None

    def _is_chosen(self, name: str) -> bool:
        source = self._spec.stream(name)
        return isinstance(source, CodeSource) and bool(source.stream)

    def _searched(self, told: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield each stage that finds codes of the tokenizer by a beam, and their codebooks.

        ``told`` is what the tokenizer says of its streams.
        """
        asked, spec = self.arguments, self._spec
        for name, stage in spec.stages.items():
            is_writing = self._is_generating and asked.form in stage.forms and isinstance(stage.objective, Next)
            if not is_writing or asked.sampling_of(spec, name).beam == 1:
                continue
            for part in map(stage.part, stage.forms[asked.form].outputs):
                owner = getattr(spec.streams[part.stream], "like", None) or part.stream
                source = spec.stream(owner)
                if owner in spec.codec and isinstance(source, CodeSource):
                    yield name, len(range(_num_rows(source, told))[part.first : part.end])

    @property
    def _is_generating(self) -> bool:
        """Whether anything is written, and not only found likely or not."""
        return bool({*self.asked} & _OF_WRITING)

    # What is asked of it.

    def work_ahead(self, bench: Bench, utterances: "Sequence[Utterance]") -> None:
        """Generate what :meth:`measure` is going to ask for."""
        examinations, _ = self._examinations(bench)
        asked = [(utterance, self._asked_items.item(utterance)) for utterance in utterances]
        for examination in examinations:
            examination.work_ahead(asked)

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:
        """Return what is said of the models, and what stands beside it, all in the payload."""
        item = self._asked_items.item(utterance)
        findings, measurement = Findings(), Measurement()
        audio = utterance.read()
        measurement.audio_sha256, measurement.duration_s = audio.sha256, audio.duration_s
        examinations, listeners = self._examinations(bench)
        for examination in examinations:
            self._ask(examination, utterance, item, findings)
            for group, output in self._outputs(examination, utterance, item):
                self._score(output, group, listeners, findings)
                is_told = group == ALL and examination is examinations[0]
                if is_told and not isinstance(output, Failure):
                    self._tell(output, measurement, with_examples=with_examples)
        for group, output in self._others(examinations[0], utterance, item):
            self._score(output, group, listeners, findings)
        if self._guessed:
            self._guess(examinations[0].blank(utterance, item), listeners, findings)
        units = {"utterance": utterance.id, "speaker": utterance.speaker, TEXT: utterance.text}
        measurement.facts[TEXT] = utterance.text
        measurement.failures |= findings.of_models
        measurement.payload = findings.packed(self.metrics, units[self.task.interval_by])
        return measurement

    def _examinations(self, bench: Bench) -> "tuple[list[Examination], Listeners]":
        """Return the models of each seed, and who listens, loaded once; those for another tokenizer go first."""
        from tokbench.runners.lm_outputs import Examination  # noqa: PLC0415  (imports torch)

        if self._loaded is None or self._loaded[0] != bench:
            self._loaded = None
            found: list[Examination] = []
            for each in self._benches(bench):
                first = next(iter(found), None)
                found.append(Examination(self.arguments, each, self.folder(each), self.needs_decoder, first))
            self._loaded = bench, found, self.judges.to_codec(bench)
        return self._loaded[1:]

    def _ask(self, examination: "Examination", utterance: "Utterance", item: "Item", findings: Findings) -> None:
        """Note how likely the models of a seed find what there is, and what they are."""
        if PAIRS in self.asked:
            wrong = self._asked_items.wrong(utterance)
            for group, sums in examination.preferences(item, wrong):
                findings.add(PAIRS, group, sums)
        if {*self.asked} & {*BITS}:
            for group, name, sums in examination.bits(utterance, item):
                findings.add(name, group, sums)
        for name, value in examination.facts.items():
            findings.add(name, ALL, np.array([value, 1.0]))

    def _outputs(
        self, examination: "Examination", utterance: "Utterance", item: "Item"
    ) -> "Iterator[tuple[str, Output | Failure]]":
        """Yield, by group, what comes out of the models of a seed."""
        if self._is_generating:
            yield from examination.texts(utterance, item)

    def _others(
        self, examination: "Examination", utterance: "Utterance", item: "Item"
    ) -> "Iterator[tuple[str, Output | Failure]]":
        """Yield, by group, what stands beside it and is the same for every seed."""
        if self._is_generating:
            yield from examination.readings(utterance, item, self.judges.to_recordings)

    def _score(self, output: Output | Failure, group: str, listeners: Listeners, findings: Findings) -> None:
        hearing = listeners.to_originals if group in {ORIGINAL, INPUT} else listeners
        for name in self.asked:
            if name in SCORES and not (group == SWAPPED and name in _SAME_SWAPPED):
                found = (
                    output
                    if isinstance(output, Failure)
                    else attempt(functools.partial(SCORES[name], output, hearing))
                )
                findings.add(name, group, found)

    def _tell(self, output: Output, measurement: Measurement, *, with_examples: bool) -> None:  # noqa: ARG002
        measurement.facts["written"] = output.text

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return each metric of the trained models, and of what stands beside them."""
        return list(self.pool(payloads).summaries)

    def pool(self, payloads: Iterable[bytes | None]) -> Pooled:
        """Return each metric, and what utterances add to those of the trained models that are ratios."""
        collected = Collected()
        shape = self.arguments.num_seeds, 2
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.asked if name not in SUMS}
        for payload in payloads:
            collected.add(payload)
            found = ratios(payload, parts)
            for name, rows in parts.items():
                rows.append(np.broadcast_to(found.get(name, LOST_PARTS), shape))
        is_grouped = self.task.interval_by != "utterance"
        summaries = [
            collected.summary(metric, group, is_grouped=is_grouped)
            for name, metric in self.metrics.items()
            for group in collected.groups(name)
        ]
        return Pooled(summaries, {name: np.stack(rows) for name, rows in parts.items() if rows})

    # What one answer to everything is worth.

    @property
    def _guessed(self) -> tuple[str, ...]:
        """Metrics of texts, written or heard, of which one could be the answer to everything."""
        heard = LISTENING["recognizer"] if self.needs_decoder else self.asked
        return tuple(name for name in self.asked if name in heard and self._is_generating)

    def _guess(self, blank: Output, listeners: Listeners, findings: Findings) -> None:
        for name, text in self._guesses.items():
            findings.add(name, GUESS, attempt(functools.partial(score_of, text, name, blank, listeners)))

    @cached_property
    def _guesses(self) -> dict[str, str]:
        """The answer of the training part that would have been best there, by the name of the metric."""
        from tokbench.runners.lm_outputs import written_content  # noqa: PLC0415  (imports torch)

        content = written_content(self._spec, self.arguments.form)
        asked: list[Output] = []
        pairs = zip(self.learnt, self._learnt_items, strict=True)
        for utterance, item in itertools.islice(pairs, _NUM_HEARD):
            if text := str(item.contents.get(content, "")):
                language = str(item.contents.get("language", ""))
                asked.append(Output(utterance, language, reference_text=text))
        metrics = {name: self.metrics[name] for name in self._guessed}
        return best_answers(asked, metrics, self.judges.to_recordings)


class GeneratingLmRunner(LmRunner):
    """Trains a language model on codes, and asks what it generates: audio, which is decoded from its codes."""

    needs_decoder: ClassVar[bool] = True
    facts = {"asked": "text", TEXT: "text"}  # noqa: RUF012  (as above)
    _is_generating = True

    @classmethod
    def known_metrics(cls) -> frozenset[str]:
        """Return what scores generated audio, and facts of the model."""
        return frozenset({*SCORES, *FACTS}) - {"cider", "event_f1", "slot_f1", "bleu", "chrf"}

    def _outputs(
        self, examination: "Examination", utterance: "Utterance", item: "Item"
    ) -> "Iterator[tuple[str, Output | Failure]]":
        partner = self._asked_items.partner(utterance)
        yield from examination.sounds(utterance, item, (partner, self._asked_items.item(partner)))

    def _others(
        self, examination: "Examination", utterance: "Utterance", item: "Item"
    ) -> "Iterator[tuple[str, Output | Failure]]":
        yield from examination.recordings(utterance, item)

    def _tell(self, output: Output, measurement: Measurement, *, with_examples: bool) -> None:
        measurement.facts["asked"] = output.asked
        if with_examples and output.audio is not None:
            measurement.examples = _examples(output)


def _examples(output: Output) -> dict[str, bytes]:
    """Return what was generated, and the reference, as files to listen to and to look at."""
    from tokbench.pictures import flac_bytes, spectrogram_png  # noqa: PLC0415  (imports torch)

    files = {}
    for name, audio in (("original", output.reference), ("decoded", output.audio)):
        if audio is not None:
            files[f"{name}.flac"] = flac_bytes(audio.samples.numpy().T, audio.sample_rate_hz)
            files[f"{name}.png"] = spectrogram_png(audio.mono(), audio.sample_rate_hz)
    return files


def _num_rows(source: CodeSource, told: Sequence[str]) -> int:
    """Return the codebooks of ``source`` where its tokenizer has the streams ``told``, over all channels."""
    return len(source.model_copy(update={"num_codebooks": _num_codebooks(source, told)}).sizes)


def _num_codebooks(source: CodeSource, told: Sequence[str]) -> int:
    """Return those that ``source`` takes of the streams ``told``, of one channel."""
    # Such as ``1 x 500 at 50 Hz``, or with a name before it.
    heads = [stream.rpartition(" x ")[0].rpartition(" ") for stream in told]
    total = sum(int(number) for name, _, number in heads if source.stream in {"", name})
    return len(range(total)[source.first : source.end])
