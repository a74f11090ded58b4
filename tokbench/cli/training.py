"""The command that trains."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokbench.errors import UsageError

if TYPE_CHECKING:
    from tokbench.specs.codec import CodecSpec
    from tokbench.training.train import Options

__all__ = ["train"]


def train(  # noqa: PLR0913, PLR0917  (the options of a long job)
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC...",
            help="Names of shipped specs (tokbench list specs, tokbench list lms), or TOML files.",
            show_default=False,
        ),
    ],
    scale: Annotated[
        str, typer.Option(help="tiny: minutes on a CPU; small: hours on a GPU; paper: as published.")
    ] = "tiny",
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            help="What to learn from: synth?split=train (by default), folder:DIR, manifest:FILE?split=train. "
            "Repeat it for several.",
            show_default=False,
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="Tokenizer whose codes a language model learns, instead of its spec's own.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the trained codec or language model, by default trained/SPEC-SCALE; "
            "for several specs, the folder that holds theirs.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of each stage, instead of the spec's. A language model that this one begins with keeps its "
            "own: to change those, too, train it on its own, and add --set start_from=FOLDER.",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the spec, such as training.batch_size=4. Repeat it for several.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Annotated[
        str, typer.Option(help="cpu, cuda or cuda:N. For several GPUs, start it by torchrun.")
    ] = "cpu",
    jobs: Annotated[int, typer.Option(min=1, help="Specs that are trained side by side.")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that read audio. By default half of the cores.", show_default=False),
    ] = None,
    *,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over where the folder already holds a run.")
    ] = False,
    keep_checkpoint: Annotated[
        bool, typer.Option("--keep-checkpoint", help="Keep the last checkpoint beside the finished codec.")
    ] = False,
) -> None:
    """Train codecs and language models from specs; a trained codec is used like any other.

    The same command goes on where it was interrupted, to the last bit, and leaves alone what is finished.

    Example: [bold]tokbench train encodec --scale tiny --steps 2000[/]

    Example: [bold]tokbench train valle --codec trained/encodec-tiny[/]
    """
    from tokbench.cli.device import check_device
    from tokbench.specs.changes import parse_changes
    from tokbench.specs.codec import find_spec

    check_device(device)
    given, corpora = list(changes or []), corpus or ["synth?split=train"]
    found = [find_spec(spec, scale, changes=parse_changes(given))[0] for spec in specs]
    if steps:
        _check_steps(found)
    _check_codec(found, codec)
    folders = _folders(specs, scale, out)
    if len(specs) > 1:
        flags = {"restart": restart, "keep-checkpoint": keep_checkpoint}
        values = {"scale": scale, "seed": seed, "device": device}
        values |= {"workers": workers, "steps": steps, "codec": codec}
        options = [f"--{name}={value}" for name, value in values.items() if value is not None]
        options += [f"--corpus={reference}" for reference in corpora]
        options += [f"--set={change}" for change in given]
        options += [f"--{name}" for name, is_wanted in flags.items() if is_wanted]
        _train_several(specs, folders, options, jobs)
        return
    from tokbench.training.train import Options

    given += [f"{key}.num_steps={steps}" for key in _trainings(found[0]) if steps]
    find_spec(specs[0], scale, changes=parse_changes(given))
    how = Options(parse_changes(given), device, workers, restart=restart, keep_checkpoint=keep_checkpoint)
    if _is_lm(found[0]):
        _train_lm(specs[0], folders[0], corpora, codec, (scale, seed), how)
    else:
        _train_one(specs[0], folders[0], corpora, scale, seed, how)


def _check_steps(specs: "list[CodecSpec]") -> None:
    from tokbench.specs.scales import ScaledSpec

    for spec in specs:
        if not isinstance(spec, ScaledSpec):
            msg = f"--steps: {spec.name} is clustered, and not trained by steps"
            raise UsageError(msg)


def _is_lm(spec: "CodecSpec") -> bool:
    from tokbench.specs.lm import LmSpec

    return isinstance(spec, LmSpec)


def _check_codec(specs: "list[CodecSpec]", codec: str | None) -> None:
    from tokbench.codecs.registry import one
    from tokbench.specs.lm import LmSpec

    if codec is None:
        return
    for spec in specs:
        if not isinstance(spec, LmSpec) or not spec.codec:
            msg = f"--codec: {spec.name} does not learn from the codes of a tokenizer that could be another"
            raise UsageError(msg)
    one(codec)


def _trainings(spec: "CodecSpec") -> list[str]:
    """Return the keys of the tables ``training`` of ``spec``: its own, and that of what learns from its codes."""
    declared = spec.model_dump()
    inner = [
        f"{name}.training" for name, table in declared.items() if isinstance(table, dict) and "training" in table
    ]
    return ["training", *inner]


def _folders(specs: list[str], scale: str, out: Path | None) -> list[Path]:
    if out is not None and len(specs) == 1:
        return [out]
    folders = [(out or Path("trained")) / f"{Path(spec).stem}-{scale}" for spec in specs]
    if len(set(folders)) < len(folders):
        msg = "two of these specs have the same name, and so the same folder"
        raise UsageError(msg)
    return folders


def _train_one(spec: str, folder: Path, corpora: list[str], scale: str, seed: int, how: "Options") -> None:
    from tokbench.cli.terminal import stdout
    from tokbench.cli.training_display import training_watcher
    from tokbench.corpora.joined import join
    from tokbench.corpora.registry import open_corpus
    from tokbench.training.train import train as train_spec

    corpus = join([open_corpus(reference) for reference in corpora])
    with training_watcher(folder.name) as watcher:
        train_spec(spec, corpus, folder, scale=scale, seed=seed, options=how, watcher=watcher)
    if os.environ.get("RANK", "0") == "0":
        stdout().print(f"Trained. {_what_next(folder)}", markup=False)


def _what_next(folder: Path) -> str:
    """Return what can be done with what was trained into ``folder``: tasks that make sense for it."""
    import shlex

    from tokbench.codecs.base import Codec, ContinuousTokenizer
    from tokbench.codecs.registry import CARD_FILE, load, name_of_folder, one

    if not (folder / CARD_FILE).is_file():
        return f"Other specs learn from the encoder in {folder}, which is no tokenizer."
    name = name_of_folder(folder)
    tokenizer = load(one(name))
    if isinstance(tokenizer, ContinuousTokenizer):
        tasks = "abx"
    else:
        tasks = "tokens,reconstruction" if isinstance(tokenizer, Codec) else "tokens,abx"
    return f"Score it with: tokbench run --codec {shlex.quote(name)} --task {tasks}"


def _train_lm(
    spec: str, folder: Path, corpora: list[str], codec: str | None, scale_and_seed: tuple[str, int], how: "Options"
) -> None:
    from tokbench.cli.terminal import stdout
    from tokbench.cli.training_display import training_watcher
    from tokbench.corpora.joined import join
    from tokbench.corpora.registry import open_corpus
    from tokbench.lm.items import CorpusMaterial
    from tokbench.lm.streams import require_searchable
    from tokbench.specs.codec import find_spec
    from tokbench.specs.lm import LmSpec
    from tokbench.training.lm import train_lm

    scale, seed = scale_and_seed
    declared, _ = find_spec(spec, scale, changes=how.changes)
    if isinstance(declared, LmSpec):
        require_searchable(declared, codec)
    material = CorpusMaterial(join([open_corpus(reference) for reference in corpora]))
    with training_watcher(folder.name) as watcher:
        train_lm(spec, material, folder, codec=codec, scale=scale, seed=seed, options=how, watcher=watcher)
    if os.environ.get("RANK", "0") == "0":
        stdout().print(f"Trained: a language model in {folder}. {_how_to_ask(folder)}", markup=False)


def _how_to_ask(folder: Path) -> str:
    """Return what the language model in ``folder`` can be asked for, or why there is nothing to hear."""
    import shlex

    from tokbench.lm.asking import AUDIO, SilentError, require_audible, written_contents
    from tokbench.lm.language_model import LanguageModel

    model = LanguageModel(folder, trusts_code=True)  # of who trained on code, which ran
    command, reasons = f"tokbench generate {shlex.quote(str(folder))} --help", []
    spoken = [form for form in model.spec.forms if AUDIO in written_contents(model.spec, form)]
    for form in spoken:
        try:
            require_audible(model, form)
        except SilentError as error:
            reasons.append(str(error))
        else:
            return f"Hear it with: {command}"
    if len(spoken) < len(model.spec.forms):
        return f"Read what it writes with: {command}"
    return f"It cannot be heard: {reasons[0]}"


def _train_several(specs: list[str], folders: list[Path], options: list[str], jobs: int) -> None:
    from tokbench.cli.queue import Job, work_through
    from tokbench.cli.terminal import print_table

    if "RANK" in os.environ:
        msg = "under torchrun, train one spec at a time"
        raise UsageError(msg)
    queue = [
        Job(folder.name, ["train", spec, f"--out={folder}", *options])
        for spec, folder in zip(specs, folders, strict=True)
    ]
    outcomes = work_through(queue, jobs)
    print_table(
        [(str(folder), "ok" if code == 0 else "failed") for folder, code in zip(folders, outcomes, strict=True)],
        columns=("folder", "outcome"),
    )
    if any(outcomes):
        raise typer.Exit(1)
