"""Two codecs for tokbench."""
