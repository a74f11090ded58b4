"""The command that lets a trained language model be heard."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokbench.errors import TokbenchError, UsageError

if TYPE_CHECKING:
    from tokbench.lm.language_model import Generated, LanguageModel

__all__ = ["generate"]

_FORMATS = (".wav", ".flac")


def generate(  # noqa: PLR0913, PLR0917  (whatever a person may want to try)
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder of a language model that `tokbench train` made.")
    ],
    text: Annotated[
        str,
        typer.Option(
            help="Text to speak or sing, or a description of the sound; where text is written, how it begins.",
            show_default=False,
        ),
    ] = "",
    prompt: Annotated[
        Path | None,
        typer.Option(
            help="Audio file: the voice to speak with, or what is to be continued where no voice goes in.",
            show_default=False,
        ),
    ] = None,
    prompt_text: Annotated[
        str, typer.Option(help="What is said in a prompt that is continued (VALL-E).", show_default=False)
    ] = "",
    source: Annotated[
        Path | None,
        typer.Option(
            help="Audio file to be made into something else (cleaned, converted, translated) or understood.",
            show_default=False,
        ),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=VALUE",
            help="Anything else that goes in: language=en-us, instruction='…', before=FILE, notes='60:25 62:50'. "
            "Repeat it for several.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(help="What to do, where a model can do several things: tts, asr, se …", show_default=False),
    ] = "",
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Length of the new audio, without what it continues. By default the model decides where it ends.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many to draw.")] = 1,
    out: Annotated[
        Path, typer.Option(help="WAV or FLAC file; of several samples NAME-1.wav, NAME-2.wav, …")
    ] = Path("generated.wav"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Below 1 more cautious, above 1 more varied; at 0 always the most likely symbol.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Draw among the K most likely symbols.", show_default=False)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Draw among the most likely symbols whose probabilities add up to P.",
            show_default=False,
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(min=0, help="Above 1, follow what is given more closely.", show_default=False),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another key of the sampling, in all stages or in one: max_s=5, nar.temperature=[0.2]. "
            "Repeat it for several.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    *,
    whole: Annotated[
        bool, typer.Option("--whole", help="Also write the prompt that is continued, before what follows it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    trust_code: Annotated[
        bool,
        typer.Option("--trust-code", help="Run a codec's Python file that the model's folder names."),
    ] = False,
) -> None:
    """Hear, or read, what a trained language model makes of a text, a voice, a recording.

    The same command draws the same samples.

    Example: [bold]tokbench generate trained/valle-tiny --prompt a.wav --prompt-text "three" --text "seven"[/]

    Example: [bold]tokbench generate trained/uniaudio-tiny --form se --source noisy.wav --out clean.wav[/]

    Example: [bold]tokbench generate trained/musicgen-tiny --text "fast piano" --seconds 5 --samples 3[/]
    """
    from tokbench.cli.progress import stage_progress
    from tokbench.lm.asking import Wish, requested, sampling_of
    from tokbench.specs.changes import parse_changes

    wish = Wish(form, text, prompt, prompt_text, source, _named(others or []), seconds)
    asked = {"temperature": None if temperature is None else (temperature,), "top_k": top_k, "top_p": top_p}
    asked = {key: value for key, value in {**asked, "guidance": guidance}.items() if value is not None}
    loaded = _loaded(model, device, trusts_code=trust_code)
    name = loaded.form_name(form)
    files = _files(loaded, name, out, samples, force=force)
    request = requested(loaded, wish)
    sampling = sampling_of(loaded.spec, name, asked, parse_changes(changes or []))
    with stage_progress() as on_progress:
        found = loaded.generate([request] * samples, seed=seed, sampling=sampling, on_progress=on_progress)
    _leave(loaded, found, files, whole=whole)


def _loaded(folder: Path, device: str, *, trusts_code: bool) -> "LanguageModel":
    from tokbench.cli.device import check_device
    from tokbench.lm.language_model import LanguageModel

    check_device(device)
    return LanguageModel(folder, device=device, trusts_code=trusts_code)


def _named(texts: list[str]) -> dict[str, str]:
    named = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip() or not value:
            msg = f"--with {text}: expected NAME=VALUE, such as language=en-us"
            raise UsageError(msg)
        named[name.strip()] = value
    return named


def _files(model: "LanguageModel", form: str, out: Path, num_samples: int, *, force: bool) -> list[Path | None]:
    """Return where each sample goes, None for text; raises :class:`UsageError` where something is there."""
    if "audio" not in {model.spec.stream(name).of for name in model.spec.forms[form].outputs}:
        return [None] * num_samples
    if out.suffix not in _FORMATS:
        msg = f"--out {out}: expected a file whose name ends in {' or '.join(_FORMATS)}"
        raise UsageError(msg)
    numbers = [""] if num_samples == 1 else [f"-{number}" for number in range(1, num_samples + 1)]
    files: list[Path | None] = [out.with_stem(f"{out.stem}{number}") for number in numbers]
    if there := [str(file) for file in files if file is not None and file.exists() and not force]:
        msg = f"{there[0]} exists; choose another --out, or replace it with --force"
        raise UsageError(msg)
    return files


def _leave(model: "LanguageModel", found: "list[Generated]", files: list[Path | None], *, whole: bool) -> None:
    """Write and print what was generated; leave with 1 if any sample came to nothing."""
    from tokbench.cli.terminal import print_table, stderr

    rows, num_failed = [], 0
    for number, (generated, file) in enumerate(zip(found, files, strict=True), start=1):
        try:
            rows.append(_row(model, generated, file, whole=whole))
        except TokbenchError as error:
            num_failed += 1
            stderr().print(f"Error: sample {number}: {error}", style="red", markup=False)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if rows:
        print_table(
            [[row[column] for column in columns] for row in rows], columns=columns, numeric=("seconds", "Hz")
        )
    if num_failed:
        raise typer.Exit(1)


def _row(model: "LanguageModel", generated: "Generated", file: Path | None, *, whole: bool) -> dict[str, Any]:
    """Write the audio of a sample, and return what there is to tell."""
    row = {}
    if file is not None:
        audio = model.audio(generated, whole=whole)
        try:
            audio.write(file)
        except OSError as error:
            msg = f"cannot write {file}: {error.strerror or error}"
            raise UsageError(msg) from error
        row = {"audio": str(file), "seconds": f"{audio.duration_s:.3f}", "Hz": str(audio.sample_rate_hz)}
    is_ended = all(generated.is_ended.values())
    return {**row, **generated.text, "ended": "yes" if is_ended else "no, at the longest length"}
