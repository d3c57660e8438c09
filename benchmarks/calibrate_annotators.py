"""Calibrates the synthetic annotators on the real rater table; prints the constants of ``synthetic/annotators.py``.

Source: IIIC-IRR (bdsp-core, ODC-By 1.0; Jing et al., Neurology 2023): 50,697 segments, 124 raters. Only the fitted
numbers go into the package. Segments with 10-28 votes describe the HIGH population, those with exactly 3 the LOW one.

The model is Dawid and Skene's with a difficulty per segment: a segment of kind ``k`` has its own vote distribution
``theta ~ Dirichlet(concentration_k * confusion_k)``; votes are draws from it, tilted by each rater's own bias. Kinds
are fitted by expectation maximisation of a mixture of Dirichlet-multinomials (Minka's fixed point).

Run: ``python benchmarks/calibrate_annotators.py [FOLDER_OF_VOTES]``
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, nnls
from scipy.special import digamma, gammaln, logsumexp

from hms_search.data.labels import CLASSES
from hms_search.data.synthetic import annotators

VOTES = Path(__file__).resolve().parents[2] / "shared" / "data" / "iiic" / "votes"
HIGH_MEAN_LABEL = (0.050, 0.183, 0.123, 0.077, 0.090, 0.478)  # HMS, first row of the 5,939 eeg_ids with >= 10 votes
LOW_MEAN_LABEL = (0.26, 0.11, 0.17, 0.19, 0.21, 0.06)
"""HMS: consensus counts of all rows less what the mean HIGH label accounts for; an inference, good to about 0.03."""
LOW_UNANIMOUS = 39794 / 51867
"""HMS: the share of three-vote rows on which all three agree."""
TOLERANCE = 0.05
"""Largest gap between real and synthetic agreement, as a share of segments or of pairs of raters."""
Array = NDArray[np.float64]


def main(folder: Path) -> list[dict[str, object]]:
    labels = load_labels(folder)
    votes = np.stack([(labels == c).sum(axis=1) for c in range(len(CLASSES))], axis=1)
    totals = votes.sum(axis=1)
    shares: dict[str, Array] = {}
    np.set_printoptions(precision=3, suppress=True, linewidth=120, floatmode="fixed")
    for name, mask, mean_label in (
        ("HIGH", (totals >= 10) & (totals <= 28), HIGH_MEAN_LABEL),
        ("LOW", totals == 3, LOW_MEAN_LABEL),
    ):
        alpha, shares[name] = fit_kinds(votes[mask])
        confusion = alpha / alpha.sum(axis=1, keepdims=True)
        if name == "LOW":
            confusion = sharpen(confusion, alpha.sum(axis=1), mean_label)
        print(f"{name}: confusion\n{confusion!r}\nconcentration {alpha.sum(axis=1)!r}")
        print(f"share of kinds {mixture(confusion, mean_label)!r}\n")
    print("rater bias, log units, standard deviation per class:", rater_bias(labels, votes))
    high = votes[(totals >= 10) & (totals <= 28)]
    return compare(high, shares["HIGH"])


def load_labels(folder: Path) -> NDArray[np.int8]:
    """Segments x raters, class index in canonical order, -1 where not rated."""
    table = np.load(folder / "iiic_irr_rater_labels.npz")
    order = [str(name).lower() for name in table["order"]]
    canonical = np.array([CLASSES.index(name) for name in order], dtype=np.int8)
    return np.where(table["label"] < 0, -1, canonical[table["label"]]).astype(np.int8)


def fit_kinds(votes: NDArray[np.int64], iterations: int = 120) -> tuple[Array, Array]:
    """Kind x class Dirichlet parameters of the likeliest mixture and its shares, one kind started at each class."""
    totals = votes.sum(axis=1)
    alpha = np.full((6, 6), 0.15) + 3.0 * np.eye(6)
    share = np.full(6, 1 / 6)
    for _ in range(iterations):
        joint = np.stack([_log_likelihood(votes, row) for row in alpha], axis=1) + np.log(share)
        member = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        share = member.mean(axis=0)
        for kind in range(6):
            for _ in range(3):
                total = alpha[kind].sum()
                up = (member[:, kind, None] * (digamma(votes + alpha[kind]) - digamma(alpha[kind]))).sum(axis=0)
                down = (member[:, kind] * (digamma(totals + total) - digamma(total))).sum()
                alpha[kind] = np.maximum(alpha[kind] * up / down, 1e-3)
    return alpha, share / share.sum()


def mixture(confusion: Array, mean_label: tuple[float, ...]) -> Array:
    """Return the shares of kinds whose mean label is nearest to ``mean_label``."""
    weights, _ = nnls(np.vstack([confusion.T, 100 * np.ones(6)]), np.append(mean_label, 100.0))
    return np.maximum(weights, 0.005) / np.maximum(weights, 0.005).sum()


def sharpen(confusion: Array, concentration: Array, mean_label: tuple[float, ...]) -> Array:
    """Mix with the identity until three-vote rows are as often unanimous as in HMS (IIIC has mostly clear seizures)."""

    def excess(mix: float) -> float:
        rows = (1 - mix) * confusion + mix * np.eye(6)
        alpha = rows * concentration[:, None]
        total = concentration[:, None]
        cubed = (alpha * (alpha + 1) * (alpha + 2) / (total * (total + 1) * (total + 2))).sum(axis=1)
        return float(mixture(rows, mean_label) @ cubed) - LOW_UNANIMOUS

    mix = brentq(excess, -0.3, 0.9)
    print(f"LOW confusion mixed with {mix:.3f} of the identity to reach {LOW_UNANIMOUS:.3f} unanimous")
    return np.maximum((1 - mix) * confusion + mix * np.eye(6), 0.0)


def rater_bias(labels: NDArray[np.int8], votes: NDArray[np.int64]) -> Array:
    """Spread over raters of log(own rate of a class / rate of the others on the same segments), sampling noise off."""
    totals = votes.sum(axis=1)
    biases, noises = [], []
    for rater in range(labels.shape[1]):
        rows = np.flatnonzero((labels[:, rater] >= 0) & (totals >= 10))
        if len(rows) < 400:
            continue
        own = np.eye(6)[labels[rows, rater]]
        expected = ((votes[rows] - own) / (totals[rows, None] - 1)).sum(axis=0)
        bias = np.log((own.sum(axis=0) + 1) / (expected + 1))
        biases.append(bias - bias.mean())
        noises.append(1 / (expected + 1))
    return np.sqrt(np.maximum(np.var(biases, axis=0) - np.mean(noises, axis=0), 0))


def compare(real: NDArray[np.int64], kinds: Array) -> list[dict[str, object]]:
    """Agreement statistics of the real votes and of as many synthetic ones with the same kinds and totals."""
    rng = np.random.default_rng(0)
    panel = annotators.draw_panel(rng)
    opinions = [annotators.draw_opinion(annotators.HIGH, int(kind), rng) for kind in rng.choice(6, len(real), p=kinds)]
    totals = real.sum(axis=1)
    pairs = zip(opinions, totals, strict=True)
    made = np.array([annotators.draw_votes(opinion, int(total), panel, rng) for opinion, total in pairs])
    edges = np.linspace(0.2, 1.0001, 9)
    shares = [np.histogram(votes.max(axis=1) / totals, edges)[0] / len(real) for votes in (real, made)]
    agreement = [_pair_agreement(votes) for votes in (real, made)]
    print(f"\n{'pairs of raters who agree, by consensus':42} {'real':>8} {'synthetic':>10}")
    for name, real_value, made_value in zip(CLASSES, *agreement, strict=True):
        print(f"{name:42} {real_value:8.3f} {made_value:10.3f}")
    figures = {
        "annotators: largest gap of cumulated top-class share": np.abs(np.cumsum(shares[0] - shares[1])).max(),
        "annotators: largest gap of pair agreement by class": np.abs(agreement[0] - agreement[1]).max(),
    }
    return [
        {"name": name, "value": round(float(gap), 4), "target": TOLERANCE, "unit": "", "holds": bool(gap <= TOLERANCE)}
        for name, gap in figures.items()
    ]


def _pair_agreement(votes: NDArray[np.int64]) -> Array:
    totals, consensus = votes.sum(axis=1), votes.argmax(axis=1)
    agree = (votes * (votes - 1)).sum(axis=1) / (totals * (totals - 1))
    return np.array([agree[consensus == c].mean() for c in range(6)])


def _log_likelihood(votes: NDArray[np.int64], alpha: Array) -> Array:
    total, rest = alpha.sum(), votes.sum(axis=1)
    each: Array = (gammaln(votes + alpha) - gammaln(alpha)).sum(axis=1)
    return np.asarray(gammaln(total) - gammaln(total + rest) + each)


if __name__ == "__main__":
    votes_folder = Path(sys.argv[1]) if len(sys.argv) > 1 else VOTES
    if not votes_folder.is_dir():
        sys.exit(f"the rater table is not at {votes_folder}: give its folder as the argument")
    for figure in main(votes_folder):
        print(json.dumps(figure))
