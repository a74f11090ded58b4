"""Leaderboards: records become tables (CSV) and one self-contained page (HTML). Needs no network and no torch."""
