"""Running: plan the cells, measure each utterance in worker processes, keep a journal, write records."""
