"""Tiny speech encoders for the cards of their features."""

from pathlib import Path

from tiny import speech_encoders
from tokbench.codecs.card import Card

__all__ = ["write"]


def write(card: Card, folder: Path) -> None:
    """Save an encoder with the layers that the settings ask for, and one more."""
    assert card.weights is not None
    layers = [arguments["layer"] for arguments in card.settings.values()]
    num_layers = max(layer for layer in layers if layer != "mean") + 1
    speech_encoders.save(card.weights, folder, num_layers=num_layers)
