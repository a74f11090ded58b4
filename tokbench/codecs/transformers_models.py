"""One way to load a model of transformers: from a folder, safetensors alone, every tensor accounted for.

transformers draws at random what a file does not have and drops what it does not know, with a remark on the
console. A codec with one random layer still makes codes, so here both are errors.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from tokbench.codecs.checkpoints import first_line, fold_weight_norm
from tokbench.errors import WeightsError

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "load_pretrained", "load_pretrained_config"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

Model = TypeVar("Model", bound=PreTrainedModel)

# What a load reports is checked below; bars and tables of its own would cross those of the command line.
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def load_pretrained(
    cls: type[Model], folder: Path, *, ignored: Collection[str] = (), fold: bool = True, **config: Any
) -> Model:
    """Return the model of class ``cls`` that ``folder`` holds, in float32 and in evaluation mode.

    ``folder`` has ``config.json`` and ``model.safetensors``. ``ignored`` are beginnings of names of tensors that
    may be in the file without being in the model, such as a head that only its training needed; ``config`` are
    values that take the place of those in ``config.json``, such as ``attn_implementation``. Weight normalization
    is multiplied out unless ``fold`` is false. Raises :class:`WeightsError` for files that are no such model.
    """
    load_pretrained_config(cls, folder)  # its refusals name the configuration, not the tensors
    file = folder / WEIGHTS_FILE
    expected = f"the tensors of the {cls.__name__} that {CONFIG_FILE} beside it describes"
    try:
        loaded: Any = cls.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            **config,
        )
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise WeightsError(file, expected=expected, found=first_line(error)) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise WeightsError(file, expected=expected, found=f"none for {_some(missing)}")
    if unknown := sorted(name for name in report["unexpected_keys"] if not name.startswith(tuple(ignored))):
        raise WeightsError(file, expected=expected, found=f"also {_some(unknown)}")
    ready: Model = model.eval()
    return fold_weight_norm(ready) if fold else ready


def load_pretrained_config(cls: type[PreTrainedModel], folder: Path) -> Any:
    """Return the configuration in ``folder``; raises :class:`WeightsError` unless it is one for ``cls``."""
    file = folder / CONFIG_FILE
    config_class: Any = cls.config_class
    wanted = config_class.model_type
    expected = f"the configuration of a model of type {wanted!r}"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        found = values["model_type"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(file, expected=expected, found=first_line(error) or type(error).__name__) from error
    if found != wanted:
        raise WeightsError(file, expected=expected, found=f"one of type {found!r}")
    try:
        return config_class.from_dict(values)
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise WeightsError(file, expected=expected, found=first_line(error)) from error


def _some(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
