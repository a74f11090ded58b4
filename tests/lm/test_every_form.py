"""Every form of every shipped language model generates, through all of its stages, what the form says."""

import pytest
import torch
from tiny.lms import drawn_example, tiny_lm

from tokbench.lm.generation import Generation, Task
from tokbench.lm.language_model import build_networks
from tokbench.lm.network import StageNetwork
from tokbench.specs.codec import list_lms
from tokbench.specs.lm import LmSpec, Sampling
from tokbench.specs.lm_streams import FeatureSource

DURATION_S = 0.16


def sampling_of(spec: LmSpec, stage: str) -> Sampling:
    short = {"max_s": 0.2, "max_symbols": 4, "beam": min(spec.stages[stage].sampling.beam, 2), "iterations": (2, 1)}
    return spec.stages[stage].sampling.model_copy(update=short)


@pytest.mark.parametrize("name", list_lms())
def test_every_form_generates_what_it_says(name: str) -> None:
    spec = tiny_lm(name)
    torch.manual_seed(0)
    networks = build_networks(spec).eval()
    for form_name, form in spec.forms.items():
        examples = [drawn_example(spec, form_name, seed=seed, seconds=DURATION_S) for seed in range(2)]
        tasks = [
            Task(
                form=form_name,
                streams={each: example.streams[each] for each in form.inputs},
                begun={},
                duration_s=DURATION_S,
                generator=torch.Generator().manual_seed(seed),
            )
            for seed, example in enumerate(examples)
        ]
        for stage_name, stage in spec.stages.items():
            if form_name in stage.forms:
                network = networks[stage_name]
                assert isinstance(network, StageNetwork)
                Generation(network, sampling_of(spec, stage_name)).run(tasks)
        for task in tasks:
            for output in form.outputs:
                source, made = spec.stream(output), task.made[output]
                if isinstance(source, FeatureSource):
                    assert made.shape[1] == source.dimension
                    continue
                sizes = torch.tensor(source.sizes)
                # LauraGPT writes the first codebook alone; the others are in the sum that it predicts.
                assert len(made) == (1 if name.startswith("lauragpt") else len(sizes)), (form_name, output)
                assert bool((made < sizes[: len(made), None]).all())
                assert bool((made >= (-1 if getattr(source, "edges", False) else 0)).all()), (form_name, output)
