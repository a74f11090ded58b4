"""Adapters: one module per family of codecs, one card per family, one contract (``base``)."""
