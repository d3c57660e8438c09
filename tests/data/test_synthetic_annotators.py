from pathlib import Path

import numpy as np
import pytest

from hms_search.data.labels import CLASSES
from hms_search.data.synthetic.annotators import HIGH, LOW, Population, draw_opinion, draw_panel, draw_total, draw_votes

HMS_HIGH_MEAN_LABEL = np.array([0.050, 0.183, 0.123, 0.077, 0.090, 0.478])
IIIC_KINDS = np.array([0.032, 0.125, 0.140, 0.182, 0.112, 0.408])
"""Shares of the six kinds among the real segments with 10 to 28 votes, as benchmarks/calibrate_annotators.py fits."""


def many_votes(population: Population, kinds: np.ndarray, totals: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    panel = draw_panel(rng)
    chosen = rng.choice(6, len(totals), p=kinds / kinds.sum())
    return np.array(
        [
            draw_votes(draw_opinion(population, kind, rng), int(total), panel, rng)
            for kind, total in zip(chosen, totals, strict=True)
        ]
    )


def pair_agreement(votes: np.ndarray) -> np.ndarray:
    totals, consensus = votes.sum(axis=1), votes.argmax(axis=1)
    agree = (votes * (votes - 1)).sum(axis=1) / (totals * (totals - 1))
    return np.array([agree[consensus == c].mean() for c in range(6)])


@pytest.mark.parametrize("population", [HIGH, LOW], ids=["high", "low"])
def test_every_opinion_is_a_distribution_and_every_rater_votes_once(population: Population) -> None:
    rng = np.random.default_rng(3)
    panel = draw_panel(rng)
    for kind in range(6):
        opinion = draw_opinion(population, kind, rng)
        assert opinion.sum() == pytest.approx(1)
        total = draw_total(population, rng)
        votes = draw_votes(opinion, total, panel, rng)
        assert votes.shape == (6,)
        assert votes.sum() == total


def test_nobody_has_eight_or_nine_votes_and_the_populations_keep_their_ranges() -> None:
    rng = np.random.default_rng(0)
    high = [draw_total(HIGH, rng) for _ in range(3000)]
    low = [draw_total(LOW, rng) for _ in range(3000)]
    assert min(high) >= 10
    assert max(high) <= 28
    assert min(low) >= 1
    assert max(low) <= 7
    assert np.mean(high) == pytest.approx(14.30, abs=0.2)
    assert np.mean(low) == pytest.approx(3.05, abs=0.1)


def test_the_mean_label_of_high_votes_is_that_of_the_competition() -> None:
    votes = many_votes(HIGH, HIGH.kinds, np.full(6000, 14))
    np.testing.assert_allclose(votes.mean(axis=0) / 14, HMS_HIGH_MEAN_LABEL, atol=0.025)


def test_three_raters_are_as_often_unanimous_as_in_the_competition() -> None:
    votes = many_votes(LOW, LOW.kinds, np.full(6000, 3))
    assert (votes.max(axis=1) == 3).mean() == pytest.approx(39794 / 51867, abs=0.04)


def test_raters_differ_from_each_other_on_the_same_segments() -> None:
    rng = np.random.default_rng(0)
    panel = draw_panel(rng)
    spread = np.log(panel).std(axis=0)
    assert (spread > 0.2).all()
    assert spread[CLASSES.index("gpd")] < spread[CLASSES.index("other")]


@pytest.mark.data
def test_synthetic_votes_agree_as_much_as_the_real_experts(shared_data: Path) -> None:
    table = np.load(shared_data / "iiic" / "votes" / "iiic_irr_rater_labels.npz")
    order = [str(name).lower() for name in table["order"]]
    real = np.stack([(table["label"] == order.index(name)).sum(axis=1) for name in CLASSES], axis=1)
    totals = real.sum(axis=1)
    real = real[(totals >= 10) & (totals <= 28)]
    totals = real.sum(axis=1)
    made = many_votes(HIGH, IIIC_KINDS, totals)

    np.testing.assert_allclose(pair_agreement(made), pair_agreement(real), atol=0.05)
    grid = np.linspace(0.25, 1, 31)
    cumulated = [(votes.max(axis=1)[:, None] / totals[:, None] <= grid).mean(axis=0) for votes in (real, made)]
    assert np.abs(cumulated[0] - cumulated[1]).max() <= 0.06
    for consensus in range(6):
        rows = [votes[votes.argmax(axis=1) == consensus] for votes in (real, made)]
        confusions = [(r / r.sum(axis=1, keepdims=True)).mean(axis=0) for r in rows]
        np.testing.assert_allclose(confusions[1], confusions[0], atol=0.06)
