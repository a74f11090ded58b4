"""Every row of ``tokbench list codecs`` keeps the contract: published models with tiny random weights."""

from pathlib import Path

import numpy as np
import pytest
import tiny

from tokbench.codecs.card import Card
from tokbench.codecs.registry import list_cards, load, missing_packages, require_installed
from tokbench.codecs.weights import locate_sources
from tokbench.errors import MissingLibraryError, WeightsNotFoundError
from tokbench.testing import run_checks

CARDS = list_cards()
NUM_CHECKED = 5
"""Settings of a card that are checked, as far apart as there are: those between them take the same path."""


def needs_weights(card: Card) -> bool:
    """Say whether anything that ``card`` is made of does not come with the package."""
    try:
        locate_sources(card, card.default_setting, download=False, verify=False)
    except WeightsNotFoundError:
        return True
    return False


@pytest.fixture
def ready(request: pytest.FixtureRequest, tokbench_home: Path) -> Card:
    """Return a card whose weights lie where they are looked for."""
    card = CARDS[request.param]
    assert missing_packages(card) == [], "install the extra `dev`"
    try:
        require_installed(card)
    except MissingLibraryError as error:
        pytest.skip(str(error))
    if needs_weights(card):
        tiny.write(card, tokbench_home / "weights")
    return card


@pytest.mark.parametrize("ready", CARDS, indirect=True)
def test_settings_conform(ready: Card) -> None:
    references = tiny.references(ready)
    places = np.linspace(0, len(references) - 1, min(len(references), NUM_CHECKED)).round().astype(int)
    results = run_checks([references[place] for place in places], long_input_s=5.0)
    assert len(results) >= len(places)
    assert [result for result in results if result.status == "failed"] == []


@pytest.mark.parametrize("ready", CARDS, indirect=True)
def test_the_card_says_what_the_codec_is(ready: Card) -> None:
    for reference in tiny.references(ready):
        info = load(reference).info
        expected = ready.bitrate_bps.get(reference.setting)
        assert info.bitrate_bps == (pytest.approx(expected) if expected is not None else None), reference.label
        assert ready.sample_rate_hz in (None, info.sample_rate_hz), reference.label
        assert ready.causal in (None, info.causal), reference.label


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_the_card_leaves_nothing_out(card: Card) -> None:
    stated = {"causal", "latency_s", "streaming"} | ({"num_parameters"} if card.sources else set())
    assert stated - card.model_fields_set == set()
