"""Steps of the strategies and rules by NumPy, in float64: python3 strategies.py > strategies.json"""

import json

import numpy as np

random = np.random.default_rng(7)
d, rounds = 6, 5
start = random.normal(size=d).round(3)
changes = random.normal(scale=0.1, size=(rounds, d)).round(4)
# A coordinate that nothing moves, and one that jumps: where Yogi and Adam differ.
changes[:, 4] = 0
changes[1, 5] = 3
o = dict(rate=0.5, momentum=0.8, beta1=0.9, beta2=0.99, tau=1e-3)


def fedavg():
    w = start.copy()
    for delta in changes:
        w = w + o["rate"] * delta
        yield w


def fedavgm():
    w, m = start.copy(), np.zeros(d)
    for delta in changes:
        m = o["momentum"] * m + delta
        w = w + o["rate"] * m
        yield w


def adaptive(second):
    w, m, v = start.copy(), np.zeros(d), np.full(d, o["tau"] ** 2)
    for delta in changes:
        m = o["beta1"] * m + (1 - o["beta1"]) * delta
        v = second(v, delta**2)
        w = w + o["rate"] * m / (np.sqrt(v) + o["tau"])
        yield w


b2 = o["beta2"]
steps = {
    "fedavg": fedavg(),
    "fedprox": fedavg(),
    "fedbuff": fedavg(),
    "fedavgm": fedavgm(),
    "fedadagrad": adaptive(lambda v, s: v + s),
    "fedadam": adaptive(lambda v, s: b2 * v + (1 - b2) * s),
    "fedyogi": adaptive(lambda v, s: v - (1 - b2) * s * np.sign(v - s)),
}

# Rules: nine updates of seven numbers, two of them by attackers.
updates = random.integers(-1000, 1000, size=(9, 7))
updates[2] = -10 * updates[2]
updates[6] = 100_000


def krum_order(values, attackers):
    n = len(values)
    squared = ((values[:, None, :] - values[None, :, :]).astype(float) ** 2).sum(-1)
    scores = [np.sort(np.delete(squared[i], i))[: n - attackers - 2].sum() for i in range(n)]
    return np.argsort(scores, kind="stable")


def trimmed(values, share):
    cut = int(np.ceil(share * len(values)))
    return np.sort(values, axis=0)[cut : len(values) - cut].mean(0)


order = krum_order(updates, 2)
rules = {
    "median": np.median(updates, axis=0),
    "median of eight": np.median(updates[:8], axis=0),
    "trimmed": trimmed(updates, 0.25),
    "krum": updates[order[0]],
    "multi-krum": updates[order[:7]].mean(0),
}

# FedBuff: K = 3 updates of staleness 0, 1 and 4.
stale = np.array([0, 1, 4])
buffered = (updates[[0, 1, 3]] / np.sqrt(1 + stale)[:, None]).sum(0) / 3

print(
    json.dumps(
        {
            "start": start.tolist(),
            "changes": changes.tolist(),
            "options": o,
            "weights": {name: [w.tolist() for w in each] for name, each in steps.items()},
            "updates": updates.tolist(),
            "rules": {name: np.asarray(value, float).tolist() for name, value in rules.items()},
            "buffered": buffered.tolist(),
        }
    )
)
