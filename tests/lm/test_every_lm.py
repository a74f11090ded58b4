"""Every shipped language model can be built, and is as large as published where that is told."""

import pytest
import torch

from tokbench.lm.network import StageNetwork
from tokbench.specs.codec import find_spec, list_lms
from tokbench.specs.lm import LmSpec
from tokbench.specs.scales import SCALES


@pytest.mark.parametrize("name", list_lms())
def test_every_scale_can_be_built(name: str) -> None:
    for scale in SCALES:
        spec, _ = find_spec(name, scale)
        assert isinstance(spec, LmSpec)
        with torch.device("meta"):
            networks = [StageNetwork(spec, stage) for stage in spec.stages]
        assert all(network.writing.vocabulary.size > 1 for network in networks)


PUBLISHED = {
    ("musiclm", "semantic"): (430e6, 0.07),
    ("musiclm", "coarse"): (430e6, 0.07),
    ("soundstorm", "parallel"): (350e6, 0.12),
    ("musicgen", "lm"): (3.3e9, 0.03),
    ("uniaudio", "lm"): (744e6 + 238e6, 0.08),
    ("gslm", "lm"): (150e6, 0.03),
    ("twist", "lm"): (305e6, 0.01),
    ("lauragpt", "lm"): (2e9, 0.2),
}
"""Parameters, and the share by which they may differ: by symbols, biases, and rounding of what is published."""


@pytest.mark.parametrize(("name", "stage"), PUBLISHED)
def test_published_models_are_as_large(name: str, stage: str) -> None:
    spec, _ = find_spec(name, "paper")
    assert isinstance(spec, LmSpec)
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in StageNetwork(spec, stage).parameters())
    expected, tolerance = PUBLISHED[name, stage]
    assert found == pytest.approx(expected, rel=tolerance)


def test_speechprompt_learns_128_thousand_numbers() -> None:
    """Five vectors for keys, and five for values, in each of 12 layers."""
    spec, _ = find_spec("speechprompt", "paper")
    assert isinstance(spec, LmSpec)
    with torch.device("meta"):
        network = StageNetwork(spec, "lm")
    prompts = [parameter for name, parameter in network.named_parameters() if name.endswith(".prompts")]
    assert sum(parameter.numel() for parameter in prompts) == 12 * 2 * 5 * 1024
