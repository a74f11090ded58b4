"""The loop: rates, turns, averages, precision, and that a state is all of it."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny.toy_learner import ToyLearner, settings
from torch import nn

from tokbench.corpora.base import Corpus
from tokbench.errors import TrainingError
from tokbench.specs.augmentation import Augmentation
from tokbench.specs.training import Optimizer
from tokbench.training.checkpoint import Standing, read_checkpoint, write_checkpoint
from tokbench.training.crops import Batches
from tokbench.training.data import open_crops
from tokbench.training.learner import Progress
from tokbench.training.loop import Loop, learning_rate, seed_all
from tokbench.training.processes import Processes
from tokbench.training.train import _learners
from tokbench.training.utterances import Utterances

ALONE = Processes(torch.device("cpu"))


def loop(corpus: Corpus, *, dropout: float = 0.2, **changes: object) -> Loop:
    seed_all(3)
    learner = ToyLearner(settings(**changes), dropout=dropout)
    crops = open_crops(Utterances.of(corpus), learner, Augmentation(), seed=3)
    return Loop(learner, Batches(crops, 2, num_workers=0), ALONE, seed=3)


def tensors(made: Loop) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in made.state().items()}


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not first[name].equal(second[name])] == []


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 0, 0.05),  # a warm-up of 20 of 100 steps
        ("constant", 19, 1.0),
        ("constant", 99, 1.0),
        ("linear", 60, 0.5),
        ("cosine", 50, 0.5),
        ("cosine", 99, 0.5 * (1 + math.cos(math.pi * 0.99))),
        ("exponential", 50, 0.9**50),
    ],
)
def test_the_rate_follows_its_schedule(schedule: str, step: int, expected: float) -> None:
    told = {"learning_rate": 2.0, "warmup": 0.2, "schedule": schedule, "decay_per_step": 0.9}
    rate = learning_rate(Optimizer.model_validate(told), Progress(step, 100))
    assert rate == pytest.approx(2.0 * expected)


@pytest.mark.parametrize(("step", "halvings"), [(0, 0), (39, 0), (40, 1), (79, 1), (80, 2), (99, 2)])
def test_the_rate_is_halved_where_it_is_told_to(step: int, halvings: int) -> None:
    told = {"learning_rate": 2.0, "warmup": 0.2, "halved_at": [0.4, 0.8]}
    plain = learning_rate(Optimizer.model_validate({**told, "halved_at": []}), Progress(step, 100))
    assert learning_rate(Optimizer.model_validate(told), Progress(step, 100)) == plain / 2**halvings


def test_a_successor_is_the_same_whatever_was_drawn_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first weights are those of the seed, in a run that goes on as in one that is resumed."""

    class Leading(ToyLearner):
        def successors(self, folder: Path) -> Iterator[ToyLearner]:
            del folder
            yield ToyLearner(settings(), dropout=0.0)

    def build(_spec: object) -> ToyLearner:
        return Leading(settings(), dropout=0.0)

    monkeypatch.setattr("tokbench.training.train._LEARNERS", {"toy": "toy:build"})
    monkeypatch.setattr("importlib.import_module", lambda _name: SimpleNamespace(build=build))
    found = []
    for number in (0, 7):
        _, successor = _drawing_between(_learners(SimpleNamespace(kind="toy"), tmp_path, 0), number)
        found.append(successor.state_dict())
    assert_equal(*found)


def _drawing_between(learners: Iterator[ToyLearner], number: int) -> list[ToyLearner]:
    made = []
    for learner in learners:
        torch.rand(number)
        made.append(learner)
    return made


def test_a_state_is_all_that_the_next_step_depends_on(corpus: Corpus, tmp_path: Path) -> None:
    straight = loop(corpus)
    curve = [{name: float(value) for name, value in scalars.items()} for scalars in straight]
    early, steps = loop(corpus), []
    for scalars in early:
        steps.append({name: float(value) for name, value in scalars.items()})
        if early.step == 7:
            break
    write_checkpoint(tmp_path / "a.safetensors", early.state(), Standing(step=7, elapsed_s=1.5))
    kept, standing = read_checkpoint(tmp_path / "a.safetensors")
    late = loop(corpus)
    for parameter in late.learner.parameters():
        nn.init.normal_(parameter)
    late.load(kept, standing.step)
    steps += [{name: float(value) for name, value in scalars.items()} for scalars in late]
    assert steps == curve
    assert_equal(tensors(late), tensors(straight))


def test_the_seed_decides(corpus: Corpus) -> None:
    first, second = (tensors(_trained(loop(corpus))) for _ in range(2))
    assert_equal(first, second)
    seed_all(4)
    learner = ToyLearner(settings())
    crops = open_crops(Utterances.of(corpus), learner, Augmentation(), seed=4)
    other = tensors(_trained(Loop(learner, Batches(crops, 2, num_workers=0), ALONE, seed=4)))
    assert not other["learner.filter.0.weight"].equal(first["learner.filter.0.weight"])


def _trained(made: Loop) -> Loop:
    for _ in made:
        pass
    return made


def test_a_run_is_that_of_a_loop_written_by_hand(corpus: Corpus) -> None:
    made = loop(corpus, dropout=0.0, ema_decay=0.0)
    seed_all(3)
    learner = ToyLearner(settings(), dropout=0.0)
    batches = Batches(open_crops(Utterances.of(corpus), learner, Augmentation(), seed=3), 2, num_workers=0)
    parameters = {"critic": [*learner.critic.parameters()], "filter": [*learner.filter.parameters()]}
    optimizers = {name: torch.optim.AdamW(each, 1e-2, weight_decay=0.0) for name, each in parameters.items()}
    learner.mean.copy_(batches[0].samples.abs().mean())
    for step in range(12):
        for turn in learner.turns(batches[step], Progress(step, 12)):
            optimizer = optimizers[turn.optimizer]
            optimizer.param_groups[0]["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * step / 12))
            learner.zero_grad()
            turn.total.backward()
            nn.utils.clip_grad_norm_(parameters[turn.optimizer], 1.0)
            optimizer.step()
    _trained(made)
    for name, tensor in learner.state_dict().items():
        torch.testing.assert_close(made.learner.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


def test_the_average_follows_the_weights_and_is_lent_and_taken_back(corpus: Corpus) -> None:
    made = loop(corpus)
    expected: dict[str, torch.Tensor] = {}
    for _ in made:
        for name, own in made.learner.filter.state_dict().items():
            expected[name] = own.clone() if name not in expected else 0.9 * expected[name] + 0.1 * own
    own = {name: tensor.clone() for name, tensor in made.learner.filter.state_dict().items()}
    with made.averaged() as lent:
        assert not lent.training
        for name, tensor in made.learner.filter.state_dict().items():
            torch.testing.assert_close(tensor, expected[name])
            assert not tensor.equal(own[name])
    assert made.learner.training
    assert_equal(dict(made.learner.filter.state_dict()), own)


def test_bfloat16_changes_activations_and_not_weights(corpus: Corpus) -> None:
    full, reduced = (loop(corpus, dropout=0.0, precision=precision) for precision in ("float32", "bfloat16"))
    first, second = ([float(scalars["wave"]) for scalars in made] for made in (full, reduced))
    assert first != second
    assert second == pytest.approx(first, rel=0.05)
    assert {tensor.dtype for tensor in reduced.state().values() if tensor.is_floating_point()} == {torch.float32}


def test_gradients_are_clipped_after_their_norm_is_told(corpus: Corpus) -> None:
    optimizer = {"learning_rate": 1e-2, "clip_norm": 1e-3}
    made = loop(corpus, optimizer=optimizer)
    norms = [float(scalars["gradient_norm.filter"]) for scalars in made]
    assert min(norms) > 1e-3
    clipped = [
        parameter.grad.square().sum()
        for parameter in made.learner.filter.parameters()
        if parameter.grad is not None
    ]
    assert torch.stack(clipped).sum().sqrt() == pytest.approx(1e-3, rel=1e-3)


def test_one_optimizers_turn_leaves_no_gradients_to_the_other(corpus: Corpus) -> None:
    made = loop(corpus)
    next(iter(made))
    learner, batch = made.learner, Batches(made._batches.crops, 2, num_workers=0)[0]
    assert isinstance(learner, ToyLearner)
    before = [parameter.grad.clone() for parameter in learner.critic.parameters() if parameter.grad is not None]
    for turn in learner.turns(batch, Progress(1, 12)):
        if turn.optimizer == "filter":
            made._take(turn, Progress(1, 12))
    after = [parameter.grad for parameter in learner.critic.parameters()]
    assert all(first.equal(second) for first, second in zip(before, after, strict=True) if second is not None)


def test_what_is_frozen_is_not_in_a_checkpoint(corpus: Corpus) -> None:
    made = loop(corpus)
    made.learner.frozen = ("critic",)
    next(iter(made))
    state = tensors(made)
    assert not any(name.startswith("learner.critic") for name in state)
    weight = made.learner.get_parameter("critic.weight").clone()
    made.load(state, 1)
    assert made.learner.get_parameter("critic.weight").equal(weight)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(TrainingError, match=r"not a checkpoint of this version .* --restart"):
        read_checkpoint(path)
