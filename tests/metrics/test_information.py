"""What codes tell of phones against scikit-learn, loops, and cases that are known."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from tokbench.errors import UndefinedMetricError
from tokbench.metrics.information import (
    adjusted_information,
    cluster_purity,
    phone_normalized_mutual_information,
    phone_purity,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_information_is_that_of_scikit_learn(num_phones: int, num_codes: int, seed: int) -> None:
    joint = np.random.default_rng(seed).integers(0, 5, (num_phones, num_codes))
    joint[:, 0] += 1  # each phone occurs
    expected = mutual_info_score(None, None, contingency=joint) / entropy(joint.sum(axis=1))
    assert phone_normalized_mutual_information(joint) == pytest.approx(expected, abs=1e-9)


def test_codes_that_are_phones_tell_all() -> None:
    joint = np.diag([3, 5, 2])
    assert phone_normalized_mutual_information(joint) == pytest.approx(1.0)
    assert (phone_purity(joint), cluster_purity(joint)) == (1.0, 1.0)


def test_codes_that_know_nothing_tell_nothing() -> None:
    joint = np.outer([4, 2, 2], [3, 1])
    assert phone_normalized_mutual_information(joint) == pytest.approx(0.0, abs=1e-12)
    assert phone_purity(joint) == 0.5  # the commonest phone
    assert cluster_purity(joint) == 0.75  # the commonest code


def test_one_code_for_two_phones_tells_half() -> None:
    joint = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])  # of two bits, one
    assert phone_normalized_mutual_information(joint) == pytest.approx(0.5)
    assert (phone_purity(joint), cluster_purity(joint)) == (0.5, 1.0)


def test_purity_is_that_of_loops() -> None:
    joint = np.random.default_rng(0).integers(0, 9, (5, 7))
    frames = [(phone, code) for phone, code in np.ndindex(joint.shape) for _ in range(joint[phone, code])]
    of_code = {code: max(range(5), key=lambda p, c=code: joint[p, c]) for code in range(7)}
    of_phone = {phone: max(range(7), key=lambda c, p=phone: joint[p, c]) for phone in range(5)}
    assert phone_purity(joint) == pytest.approx(np.mean([of_code[code] == phone for phone, code in frames]))
    assert cluster_purity(joint) == pytest.approx(np.mean([of_phone[phone] == code for phone, code in frames]))


@pytest.mark.parametrize("num_codes", [6, 40])
def test_what_is_left_of_chance_is_that_of_scikit_learn(num_codes: int) -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, num_codes, 4000)
    phones = np.where(generator.random(4000) < 0.5, codes % 5, generator.integers(0, 5, 4000))
    joint = np.bincount(phones * num_codes + codes).reshape(5, num_codes)
    # With the smaller of both entropies, that of phones, for the largest information.
    expected = adjusted_mutual_info_score(phones, codes, average_method="min")
    assert adjusted_information(joint) == pytest.approx(expected, abs=1e-9)
    assert adjusted_information(joint) < phone_normalized_mutual_information(joint)


def test_chance_tells_nothing_however_many_codes_there_are() -> None:
    generator = np.random.default_rng(0)
    joint = np.bincount(generator.integers(0, 10 * 500, 3000), minlength=5000).reshape(10, 500)
    assert phone_normalized_mutual_information(joint) > 0.2
    assert adjusted_information(joint) == pytest.approx(0.0, abs=0.02)


def test_chance_is_that_of_every_order_of_the_codes() -> None:
    phones, codes = [0, 0, 1, 1, 2], (0, 1, 1, 3, 3)  # no frame has the code 2
    found = [mutual_info_score(phones, order) for order in itertools.permutations(codes)]
    expected, known = np.mean(found), entropy(np.bincount(phones))
    joint = np.bincount(np.array(phones) * 4 + codes, minlength=12).reshape(3, 4)
    value = (mutual_info_score(phones, codes) - expected) / (known - expected)
    assert adjusted_information(joint) == pytest.approx(value, abs=1e-9)
    # A phone that occurs nowhere changes nothing, as where the group of utterances that has it is left out.
    assert adjusted_information(np.vstack([joint, np.zeros(4, int)])) == pytest.approx(value, abs=1e-9)


def test_codes_of_one_frame_each_tell_nothing() -> None:
    with pytest.raises(UndefinedMetricError, match="code of its own"):
        adjusted_information(np.array([[1, 1, 0], [0, 0, 1]]))


@pytest.mark.parametrize("function", [phone_normalized_mutual_information, phone_purity, cluster_purity])
def test_no_frame_tells_nothing(function: Callable[[np.ndarray], float]) -> None:
    with pytest.raises(UndefinedMetricError, match="no frame"):
        function(np.zeros((3, 4), np.int64))


def test_one_phone_leaves_nothing_to_tell() -> None:
    with pytest.raises(UndefinedMetricError, match="only one phone"):
        phone_normalized_mutual_information(np.array([[3, 2]]))
