"""Corpora: utterances with audio and labels, streamed from wherever they lie."""
