"""Tiny speech encoders for the cards of their features."""

from pathlib import Path

from tiny import speech_encoders
from tokbench.codecs.card import Card

__all__ = ["write"]


def write(card: Card, folder: Path) -> None:
    """Save an encoder with the layers that the settings ask for, and one more."""
    assert card.weights is not None
    num_layers = max(arguments["layer"] for arguments in card.settings.values()) + 1
    speech_encoders.save(card.weights, folder, num_layers=num_layers)
