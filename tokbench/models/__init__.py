"""Networks, without anything that reads files: what published codecs and those trained here are made of."""
