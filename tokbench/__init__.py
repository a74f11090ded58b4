"""A benchmark of the audio tokenizers that speech language models are built on: measured answers."""

__version__ = "0.1.0"
