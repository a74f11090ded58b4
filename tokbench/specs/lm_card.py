"""What stands beside the weights of a trained language model."""

from tokbench.specs.base import StrictModel

__all__ = ["LmCard"]


class LmCard(StrictModel):
    """How it was made, and of what."""

    name: str
    title: str
    source: str
    """The command, and the paper of the design."""
    licence: str
    trained_on: tuple[str, ...]
    scale: str
    seed: int
    num_parameters: int
    num_steps: int
    num_tokens: int
    """Symbols that were predicted in training, those that came again included."""
    audio_s: float
    """Seconds of audio that they stand for."""
    computation: int = 1
    """Of the networks that the weights are for: 1 of the cards that do not tell."""
    files: dict[str, str]
    """SHA-256 of the spec and of the weights."""
    remarks: tuple[str, ...] = ()
    """What was noticed while it was trained."""
