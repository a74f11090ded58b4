from pathlib import Path

import pytest
from leaderboard.builder import Results


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")
