"""Judges: models that listen, and the metrics that rest on them."""
