"""Recognizers by CTC: what can be learnt is learnt, what follows an item changes nothing, equal seeds are equal."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from tokbench.models.ctc import CtcNetwork, Pace, best_path
from tokbench.specs.ctc import CtcRecipe
from tokbench.training.ctc import CtcItems, error_rate, log_likelihoods, num_frames_needed, teach, transcribe

QUICK = {
    "width": 24,
    "num_layers": 1,
    "kernel": 3,
    "num_seeds": 1,
    "max_epochs": 25,
    "batch_size": 8,
    "num_masks": 0,
}
NUM_LABELS = 4


def spelled(seed: int, *, number: int = 48, rate_hz: float = 50.0, codes: bool = False) -> CtcItems:
    """Return texts of which each label lasts a few frames, told by a feature (or code) of its own, amid noise."""
    generator = np.random.default_rng(seed)
    sequences, texts = [], []
    for _ in range(number):
        text = generator.integers(0, NUM_LABELS, generator.integers(2, 6))
        frames = np.concatenate([[NUM_LABELS, *[label] * generator.integers(2, 5)] for label in text])
        if codes:
            sequences.append(np.stack([frames, generator.integers(0, 5, len(frames))], axis=1))
        else:
            noise = 0.3 * generator.normal(size=(len(frames), NUM_LABELS + 1))
            sequences.append((5 + 3 * np.eye(NUM_LABELS + 1)[frames] + noise).astype(np.float32))
        texts.append(text)
    return CtcItems(sequences, texts, rate_hz, codebook_size=5 if codes else None)


@pytest.mark.parametrize("head", ["convolutional", "bilstm"])
@pytest.mark.parametrize("codes", [False, True], ids=["features", "codes"])
def test_texts_of_unseen_items_are_written_down(head: str, *, codes: bool) -> None:
    recipe = CtcRecipe(head=head, **QUICK, learning_rates=(3e-2,), dropout=0.0, embedding=8)
    network = teach(spelled(0, codes=codes), None, recipe, NUM_LABELS)[0]
    test = spelled(1, codes=codes)
    found = transcribe(network, test.sequences)
    right = [list(one) == list(other) for one, other in zip(found, test.labels, strict=True)]
    assert np.mean(right) > 0.9
    assert error_rate(network, test) < 0.05


@pytest.mark.parametrize("head", ["convolutional", "bilstm"])
@pytest.mark.parametrize("codebook_size", [None, 5])
@pytest.mark.parametrize("rate_hz", [12.5, 50.0, 100.0])
def test_what_an_item_is_filled_up_with_changes_nothing(
    head: str, codebook_size: int | None, rate_hz: float
) -> None:
    torch.manual_seed(0)
    recipe = CtcRecipe(head=head, width=8, num_layers=2)
    network = CtcNetwork(recipe, 4, num_features=3, frame_rate_hz=rate_hz, codebook_size=codebook_size).eval()
    values = torch.randint(0, 5, (2, 17, 3)) if codebook_size else torch.randn(2, 17, 3)
    logits, lengths = network(values, torch.tensor([17, 9]))
    alone, length = network(values[1:, :9], torch.tensor([9]))
    assert lengths[1] == length[0] == alone.shape[1]
    torch.testing.assert_close(logits[1:, : int(length[0])], alone)


def test_hidden_frames_are_not_heard() -> None:
    torch.manual_seed(0)
    network = CtcNetwork(CtcRecipe(width=8), 4, num_features=3, frame_rate_hz=50.0).eval()
    values, other = torch.randn(1, 9, 3), torch.randn(1, 9, 3)
    is_hidden = torch.zeros(1, 9, dtype=torch.bool)
    is_hidden[0, 4:6] = True
    other[~is_hidden] = values[~is_hidden]
    lengths = torch.tensor([9])
    both = [network(item, lengths, is_hidden=is_hidden)[0] for item in (values, other)]
    torch.testing.assert_close(*both)
    assert not torch.allclose(network(values, lengths)[0], network(other, lengths)[0])


def test_class_0_is_the_blank_of_the_loss_and_of_the_texts() -> None:
    """The loss is that of all paths that read as the text: they are counted one by one."""
    torch.manual_seed(0)
    logits = torch.randn(1, 4, 3)
    log_probabilities = logits.log_softmax(dim=2)
    by_text: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=4):
        one_hot = torch.nn.functional.one_hot(torch.tensor([path]), 3)
        text = tuple(best_path(one_hot, torch.tensor([4]))[0].tolist())
        likelihood = float(log_probabilities[0, torch.arange(4), list(path)].sum().exp())
        by_text[text] = by_text.get(text, 0.0) + likelihood
    assert sum(by_text.values()) == pytest.approx(1.0)
    for text, likelihood in by_text.items():
        targets = torch.tensor([text], dtype=torch.int64).reshape(1, -1) + 1
        loss = ctc_loss(
            log_probabilities.transpose(0, 1),
            targets,
            torch.tensor([4]),
            torch.tensor([len(text)]),
            reduction="sum",
        )
        assert float(loss) == pytest.approx(-np.log(likelihood), abs=1e-5)


def test_a_text_is_the_classes_without_repetitions_and_blanks() -> None:
    path = torch.tensor([[1, 1, 0, 1, 3, 3, 2, 2], [0, 0, 4, 4, 1, 1, 1, 1]])
    found = best_path(torch.nn.functional.one_hot(path, 5), torch.tensor([8, 4]))
    assert [item.tolist() for item in found] == [[0, 0, 2, 1], [3]]


@pytest.mark.parametrize(
    ("rate_hz", "num_repeats", "stride"), [(12.5, 3, 1), (25.0, 2, 1), (50.0, 1, 1), (75.0, 1, 2), (100.0, 1, 3)]
)
def test_every_tokenizer_comes_at_a_like_pace(rate_hz: float, num_repeats: int, stride: int) -> None:
    pace = Pace(rate_hz, 30.0)
    assert (pace.num_repeats, pace.stride) == (num_repeats, stride)
    for num_frames in range(1, 30):
        frames = len(range(0, num_frames * num_repeats, stride))
        assert int(pace.lengths(torch.tensor([num_frames]))[0]) == frames


def test_the_likelihood_of_a_text_is_that_of_all_ways_to_write_it() -> None:
    torch.manual_seed(0)
    network = CtcNetwork(CtcRecipe(width=8, num_layers=1), 2, num_features=3, frame_rate_hz=50.0)
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 3)).astype(np.float32) for length in (4, 5)]
    texts = [np.array([0]), np.array([0, 1]), np.array([1, 1]), np.array([0, 1, 0, 1, 0, 1])]
    found = log_likelihoods(network, sequences, texts)
    for row, item in enumerate(sequences):
        with torch.no_grad():
            logits, _ = network(torch.from_numpy(item)[None], torch.tensor([len(item)]))
        probabilities = logits[0].double().softmax(dim=1).numpy()
        for column, text in enumerate(texts):
            total = 0.0
            for path in itertools.product(range(3), repeat=len(probabilities)):
                changes = [label for place, label in enumerate(path) if place == 0 or path[place - 1] != label]
                if [label - 1 for label in changes if label] == text.tolist():
                    total += np.prod([probabilities[place, label] for place, label in enumerate(path)])
            with np.errstate(divide="ignore"):
                assert found[row, column] == pytest.approx(np.log(total))
    assert [num_frames_needed(text) for text in texts] == [1, 2, 3, 6]


@pytest.mark.parametrize("spread", [1.0, 6.0, 30.0])
def test_likelihoods_of_many_texts_are_those_of_the_loss(spread: float) -> None:
    """Also of texts so unlikely that they leave the range of a double, and of such as do not fit."""
    torch.manual_seed(0)
    network = CtcNetwork(CtcRecipe(width=8, num_layers=1), 5, num_features=3, frame_rate_hz=50.0)
    torch.nn.init.normal_(network.logits.weight, std=spread)
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 3)).astype(np.float32) for length in (1, 9, 120)]
    texts = [rng.integers(0, 5, length) for length in (1, 2, 2, 7, 12, 30, 59, 60, 61)]
    texts += [np.array(text, np.int64) for text in ([3, 3], [3, 3, 3, 1, 1])]
    found = log_likelihoods(network, sequences, texts)
    expected = np.array([[log_likelihoods(network, [item], [text])[0, 0] for text in texts] for item in sequences])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert (found == -np.inf).any()
    assert (found[np.isfinite(found)].min() < -1300) == (spread > 1)


def test_texts_that_do_not_fit_teach_nothing() -> None:
    frames = [np.zeros((length, 2), np.float32) for length in (1, 2, 3, 3)]
    items = CtcItems(frames, [np.array(text, np.int64) for text in ([0, 1], [0, 0], [0, 0], [])], 50.0)
    assert [text.tolist() for text in items.long_enough(Pace(50.0, 30.0)).labels] == [[0, 0]]
    with pytest.raises(ValueError, match="texts that fit into their frames"):
        teach(items.take(np.arange(2)), None, CtcRecipe(**QUICK, learning_rates=(1e-2,)), 2)
    with pytest.raises(ValueError, match="for validation"):
        teach(items, None, CtcRecipe(), 2)


def test_equal_seeds_make_equal_networks_and_leave_random_numbers_alone() -> None:
    items, test = spelled(0, number=12), spelled(1, number=4)
    recipe = CtcRecipe(**{**QUICK, "max_epochs": 2, "num_seeds": 2, "num_masks": 1}, learning_rates=(1e-2,))
    state = torch.get_rng_state()
    first = teach(items, None, recipe, NUM_LABELS)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    second = teach(items, None, recipe, NUM_LABELS)
    values, lengths = torch.from_numpy(test.sequences[0])[None], torch.tensor([len(test.sequences[0])])
    logits = [network.eval()(values, lengths)[0] for network in (*first, *second)]
    assert torch.equal(logits[0], logits[2])
    assert torch.equal(logits[1], logits[3])
    assert not torch.equal(logits[0], logits[1])


def test_the_rate_that_learns_is_taken() -> None:
    items, validation, test = spelled(0), spelled(1, number=20), spelled(2)
    recipe = CtcRecipe(**QUICK, learning_rates=(1e-7, 3e-2), dropout=0.0)
    assert error_rate(teach(items, validation, recipe, NUM_LABELS)[0], test) < 0.1
    hopeless = recipe.model_copy(update={"learning_rates": (1e-7,)})
    assert error_rate(teach(items, validation, hopeless, NUM_LABELS)[0], test) > 0.5


def test_a_kernel_has_a_middle() -> None:
    with pytest.raises(ValueError, match="kernel must be odd, found 4"):
        CtcRecipe(kernel=4)
