"""Typed declarations, read from TOML: tasks, leaderboards, and the specs that codecs are trained from."""
