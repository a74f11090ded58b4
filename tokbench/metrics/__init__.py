"""Metrics: pure functions of a pair of signals or of code counts, and their catalogue."""
