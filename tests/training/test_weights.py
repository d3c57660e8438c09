import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hms_search.training.weights import LinearVotes, LogVotes, Low, Ranges, RowWeights, Unweighted

MEMBERS = [Unweighted(), LogVotes(), LinearVotes(), Low(), Ranges()]


def weights(member, votes, done=0.0):
    votes = np.asarray(votes)
    return member.of(votes, votes >= 10, done)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [(1, 0.631), (2, 1.0), (3, 1.262), (5, 1.631), (10, 2.183), (15, 2.524), (20, 2.771), (28, 3.065)],
)
def test_log_votes_are_the_15th_places(votes, expected):
    assert weights(LogVotes(), [votes])[0] == pytest.approx(expected, abs=5e-4)


def test_linear_votes_are_one_at_the_divisor():
    np.testing.assert_allclose(weights(LinearVotes(), [1, 5, 20]), [0.05, 0.25, 1.0])
    np.testing.assert_allclose(weights(LinearVotes(divisor=5), [1, 5, 20]), [0.2, 1.0, 4.0])


def test_low_rows_count_less_and_high_rows_fully():
    np.testing.assert_array_equal(weights(Low(), [1, 7, 10, 28]), [0.25, 0.25, 1, 1])
    summed_from_small_rows = Low(weight=0.5).of(np.array([21]), np.array([False]), 0.0)
    assert summed_from_small_rows == 0.5


def test_ranges_fade_but_for_the_rows_with_most_votes():
    votes = [1, 2, 3, 8, 9, 20]
    np.testing.assert_allclose(weights(Ranges(), votes), [0.3, 0.3, 0.5, 0.5, 1, 1])
    np.testing.assert_allclose(weights(Ranges(), votes, done=0.5), [0.12, 0.12, 0.2, 0.2, 1, 1])
    np.testing.assert_allclose(weights(Ranges(), votes, done=0.9), [0.02] * 4 + [1, 1])
    np.testing.assert_allclose(weights(Ranges(decay=0.0), votes, done=0.9), [0.3, 0.3, 0.5, 0.5, 1, 1])


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
@given(
    votes=st.lists(st.integers(1, 28), min_size=1, max_size=20),
    done=st.floats(0, 1, exclude_max=True),
)
def test_weights_are_above_zero_and_more_votes_never_count_less(member, votes, done):
    found = weights(member, sorted(votes), done)
    assert found.shape == (len(votes),)
    assert (found > 0).all()
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize(
    "wrong", [{"name": "low", "weight": 0}, {"name": "linear", "divisor": -1}, {"name": "ranges", "floor": 0.0}]
)
def test_a_weight_that_would_drop_rows_is_refused(wrong):
    with pytest.raises(ValidationError, match="greater than 0"):
        TypeAdapter(RowWeights).validate_python(wrong)
