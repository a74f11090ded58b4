"""Language models of codes: from streams of codes to sequences, objectives, decoding."""
