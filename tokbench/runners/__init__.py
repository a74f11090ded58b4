"""Runners: one module per kind of task. What is measured on an utterance, and how utterances are summed up."""
