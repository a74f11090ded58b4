"""Runners by the kind of task that they carry out."""

import importlib

from tokbench.errors import UnknownNameError
from tokbench.runners.base import Runner
from tokbench.specs.task import Task

__all__ = ["RUNNERS", "make_runner", "runner_type"]

RUNNERS = {
    "abx": "tokbench.runners.abx:AbxRunner",
    "economy": "tokbench.runners.economy:EconomyRunner",
    "economy-transformer": "tokbench.runners.economy_transformer:TransformerRunner",
    "lm": "tokbench.runners.lm:LmRunner",
    "lm-generation": "tokbench.runners.lm:GeneratingLmRunner",
    "phone-information": "tokbench.runners.phone_information:PhoneInformationRunner",
    "probe": "tokbench.runners.probe:ProbeRunner",
    "probe-asr": "tokbench.runners.probe_asr:ProbeAsrRunner",
    "intelligibility": "tokbench.runners.intelligibility:IntelligibilityRunner",
    "reconstruction": "tokbench.runners.reconstruction:ReconstructionRunner",
    "reencoding": "tokbench.runners.robustness:ReencodingRunner",
    "robustness": "tokbench.runners.robustness:RobustnessRunner",
    "same-text": "tokbench.runners.same_text:SameTextRunner",
    "speaker": "tokbench.runners.speaker:SpeakerRunner",
    "speaker-tokens": "tokbench.runners.speaker_tokens:SpeakerTokensRunner",
    "streaming": "tokbench.runners.streaming:StreamingRunner",
    "text-alignment": "tokbench.runners.text_alignment:TextAlignmentRunner",
    "tokens": "tokbench.runners.tokens:TokensRunner",
    "tone": "tokbench.runners.tone:ToneRunner",
    "tone-contours": "tokbench.runners.tone_contours:ToneContourRunner",
}
"""``module:Class`` by kind."""


def make_runner(task: Task) -> Runner:
    """Return the runner of ``task``, its arguments checked.

    Raises :class:`UnknownNameError` for a kind that there is not, and :class:`SpecError` for a wrong argument.
    """
    return runner_type(task.kind)(task)


def runner_type(kind: str) -> type[Runner]:
    """Return the class that carries out tasks of ``kind``; raises :class:`UnknownNameError` where there is none."""
    if kind not in RUNNERS:
        raise UnknownNameError("kind of task", kind, RUNNERS, command="tokbench list tasks")
    module, _, name = RUNNERS[kind].partition(":")
    found: type[Runner] = getattr(importlib.import_module(module), name)
    return found
