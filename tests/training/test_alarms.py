"""Early warning: each alarm is raised where it must be, once, and by nothing healthy."""

import math

import pytest

from tokbench.training.alarms import Alarms, DivergenceError, check_finite

NUM_STEPS = 10_000


def raised(*, num_rows: int = 60, **curves: object) -> list[str]:
    """Return what is said about curves: each a number, or a function of the share of the run that is done."""
    alarms, sentences = Alarms(NUM_STEPS), []
    for index in range(1, num_rows + 1):
        share = index / num_rows
        row = {
            name.replace("__", "."): value(share) if callable(value) else value for name, value in curves.items()
        }
        sentences += alarms.see({"step": NUM_STEPS * share, "elapsed_s": index, **row})
    assert tuple(sentences) == alarms.sentences
    return sentences


def healthy(share: float) -> float:
    return math.exp(-share) + 0.01 * math.sin(50 * share)


def test_a_healthy_run_raises_nothing() -> None:
    contest = {"discriminator": lambda share: 2 - share, "adversarial": lambda share: 1 + 0.5 * share}
    assert raised(mel=healthy, health__dead_codes=0.4, gradient_norm__codec=healthy, **contest) == []


def test_dead_codes_are_seen_after_a_while() -> None:
    assert raised(mel=healthy, health__dead_codes=0.97, num_rows=9) == []
    (sentence,) = raised(mel=healthy, health__dead_codes=0.97)
    assert "97% of the codes of a codebook are dead" in sentence
    assert raised(mel=healthy, health__dead_codes=lambda share: 0.99 if share < 0.1 else 0.2) == []


def test_a_discriminator_that_wins_is_seen() -> None:
    won = {
        "discriminator": lambda share: 2.0 if share < 0.1 else 0.01,
        "adversarial": lambda share: min(2.0, 30 * share),
    }
    (sentence,) = raised(mel=healthy, **won)
    assert "the discriminators win" in sentence
    lost = {"discriminator": won["discriminator"], "adversarial": lambda share: 2.0 if share < 0.1 else 1.0}
    assert raised(mel=healthy, **lost) == []


def test_exploding_gradients_are_seen_and_named() -> None:
    (sentence,) = raised(mel=healthy, gradient_norm__codec=lambda share: 1.0 if share < 0.8 else 1000.0)
    assert "the gradients of the codec explode: a norm of 1e+03 after 1" in sentence
    assert sentence.startswith("Step 8000: ")


def test_losses_that_do_not_fall_are_seen_though_the_contest_goes_on() -> None:
    (sentence,) = raised(mel=2.0, wave=0.1, adversarial=healthy, commitment=healthy)
    assert "no loss has fallen since the beginning (mel, wave)" in sentence
    assert raised(mel=2.0, wave=healthy) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_ends_training_with_advice(value: float) -> None:
    check_finite({"step": 3, "mel": 1.0})
    with pytest.raises(DivergenceError, match=r"diverged: mel is not finite at step 3\. .*lower learning rate"):
        check_finite({"step": 3, "wave": 1.0, "mel": value})
