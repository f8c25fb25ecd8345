"""Writes metrics-goldens.json: small random cases with their metrics, worked out from the definitions.

Run: python3 metrics-goldens.py > metrics-goldens.json (numpy alone). Nothing here is shared with what is tested: the
area under the curve is counted pair by pair, precision and recall over sets, R2 from the variance of each column.
"""
import json
import numpy as np

rng = np.random.default_rng(20260)


def regression(n, width):
    expected = np.round(rng.normal(20, 5, (n, width)), 3)
    predicted = np.round(expected + rng.normal(0, 2, (n, width)), 3)
    error = predicted - expected
    mse = float(np.mean(error**2))
    r2 = 1 - np.sum(error**2, 0) / np.sum((expected - expected.mean(0)) ** 2, 0)
    return {
        "predicted": predicted.ravel().tolist(),
        "expected": expected.ravel().tolist(),
        "width": width,
        "mse": mse,
        "rmse": mse**0.5,
        "mae": float(np.mean(np.abs(error))),
        "r2": float(np.mean(r2)),
    }


def classification(n, classes, used):
    """Labels below `used` alone occur, so that some classes are empty."""
    expected = rng.integers(0, used, n)
    given = np.where(rng.random(n) < 0.6, expected, rng.integers(0, used, n))
    per = []
    for c in range(classes):
        is_c = set(np.flatnonzero(expected == c).tolist())
        said_c = set(np.flatnonzero(given == c).tolist())
        hit = len(is_c & said_c)
        p = hit / len(said_c) if said_c else 0.0
        r = hit / len(is_c) if is_c else 0.0
        per.append({"precision": p, "recall": r, "f1": 2 * p * r / (p + r) if p + r else 0.0, "support": len(is_c)})
    seen = [per[c] for c in range(classes) if c in set(expected.tolist()) | set(given.tolist())]
    return {
        "expected": expected.tolist(),
        "given": given.tolist(),
        "classes": classes,
        "accuracy": float(np.mean(expected == given)),
        "perClass": per,
        "macro": {k: float(np.mean([s[k] for s in seen])) for k in ("precision", "recall", "f1")},
    }


def auc(n, levels):
    """Few levels: many ties."""
    scores = np.round(rng.random(n) * levels) / levels
    positive = (rng.random(n) + scores > 1).astype(int)
    positive[0], positive[1] = 0, 1
    pos, neg = scores[positive == 1], scores[positive == 0]
    wins = sum(1.0 if p > q else 0.5 if p == q else 0.0 for p in pos for q in neg)
    return {"scores": scores.tolist(), "positive": positive.tolist(), "auc": wins / (len(pos) * len(neg))}


def perplexity(n, classes):
    logits = np.round(rng.normal(0, 3, (n, classes)), 3)
    labels = rng.integers(0, classes, n)
    e = np.exp(logits)
    nll = -np.log(e[np.arange(n), labels] / e.sum(1))
    return {"logits": logits.tolist(), "labels": labels.tolist(), "perplexity": float(np.exp(nll.mean()))}


def ridge(n, width, penalty):
    x = np.round(rng.normal(0, 1, (n, width)), 3)
    y = np.round(x @ rng.normal(0, 1, width) + 3 + rng.normal(0, 0.1, n), 3)
    xc, yc = x - x.mean(0), y - y.mean()
    w = np.linalg.solve(xc.T @ xc + penalty * np.eye(width), xc.T @ yc)
    return {
        "x": x.ravel().tolist(),
        "y": y.tolist(),
        "width": width,
        "penalty": penalty,
        "weights": w.tolist(),
        "intercept": float(y.mean() - x.mean(0) @ w),
    }


def drift(n, bins, shift):
    """Population stability index and Kolmogorov-Smirnov distance over given bins, by counting."""
    old, new = np.round(rng.normal(0, 1, n), 3), np.round(rng.normal(shift, 1, n), 3)
    edges = np.quantile(old, np.arange(1, bins) / bins)
    share = lambda v: np.bincount(np.searchsorted(edges, v, side="left"), minlength=bins) / len(v)
    a, b = share(old), np.maximum(share(new), 1e-4)
    return {
        "old": old.tolist(),
        "new": new.tolist(),
        "bins": bins,
        "psi": float(np.sum((b - a) * np.log(b / a))),
        "ks": float(np.max(np.abs(np.cumsum(share(old)) - np.cumsum(share(new))))),
    }


print(
    json.dumps(
        {
            "regression": [regression(7, 1), regression(40, 3)],
            "classification": [classification(30, 2, 2), classification(60, 4, 4), classification(25, 5, 3)],
            "auc": [auc(12, 1000), auc(40, 5), auc(30, 1)],
            "perplexity": [perplexity(9, 4), perplexity(20, 30)],
            "ridge": [ridge(30, 3, 0.5), ridge(50, 6, 10)],
            "drift": [drift(150, 10, 0), drift(150, 10, 0.8), drift(80, 5, 2)],
        }
    )
)
