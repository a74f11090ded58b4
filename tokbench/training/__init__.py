"""Training of codecs from declarative specs."""
