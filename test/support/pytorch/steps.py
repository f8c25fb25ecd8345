"""Writes steps.json: steps of training as PyTorch takes them in float64, and how far off its float32 is.

    python3 test/support/pytorch/steps.py > test/support/pytorch/steps.json

Every step starts from weights (and the optimizer's state) that are float32 numbers, so that errors do not pile up and
no two runs can drift apart: the results of the step before, rounded. Made with PyTorch 1.13. The tests read the file alone and need no Python.
"""

import base64
import json
import struct

import torch
import torch.nn.functional as F

torch.manual_seed(3)
torch.set_num_threads(1)
STEPS, BATCH, RATE = 20, 8, 0.05
dims = {"w1": (6, 8), "b1": (8,), "w2": (8, 4), "b2": (4,)}
x = torch.randn(STEPS, BATCH, 6)
labels = torch.randint(0, 4, (STEPS, BATCH))


def loss_of(weights, step):
    w1, b1, w2, b2 = weights
    hidden = torch.tanh(x[step].to(w1.dtype) @ w1 + b1)
    return F.cross_entropy(hidden @ w2 + b2, labels[step])


def stepped(name, dtype, state, step):
    """One step from a state of flat vectors: the weights, then what the optimizer keeps."""
    flat = [vector.to(dtype) for vector in state]
    sizes = [torch.Size(d).numel() for d in dims.values()]

    def parts(vector):
        return [part.reshape(d).clone() for part, d in zip(vector.split(sizes), dims.values())]

    weights = [w.requires_grad_() for w in parts(flat[0])]
    kind = {"sgd": lambda: torch.optim.SGD(weights, RATE, momentum=0.9), "adam": lambda: torch.optim.Adam(weights, RATE)}
    optimizer = kind[name]()
    for i, w in enumerate(weights):
        if name == "sgd" and step > 0:
            optimizer.state[w] = {"momentum_buffer": parts(flat[1])[i]}
        if name == "adam" and step > 0:
            moments = {"exp_avg": parts(flat[1])[i], "exp_avg_sq": parts(flat[2])[i]}
            optimizer.state[w] = {"step": torch.tensor(float(step)), **moments}
    loss = loss_of(weights, step)
    loss.backward()
    optimizer.step()
    kept = {"sgd": ["momentum_buffer"], "adam": ["exp_avg", "exp_avg_sq"]}[name]
    vectors = [weights, *([optimizer.state[w][key] for w in weights] for key in kept)]
    return loss.item(), [torch.cat([v.detach().flatten() for v in each]).double() for each in vectors]


def packed(values, code):
    return base64.b64encode(struct.pack(f"<{len(values)}{code}", *values)).decode()


def run(name, slots):
    count = sum(torch.Size(d).numel() for d in dims.values())
    start = torch.cat([torch.randn(d).flatten() * 0.5 for d in dims.values()])
    state = [start.double(), *(torch.zeros(count).double() for _ in range(slots))]
    before = [packed(v.tolist(), "f") for v in state]
    steps = []
    for step in range(STEPS):
        loss, after = stepped(name, torch.float64, state, step)
        loss32, after32 = stepped(name, torch.float32, state, step)
        steps.append(
            {
                "after": [packed(v.tolist(), "d") for v in after],
                "loss": loss,
                "float32": [float((a - b).abs().max()) for a, b in zip(after, after32)],
            }
        )
        state = [v.float().double() for v in after]
    return {"optimizer": name, "before": before, "steps": steps}


result = {
    "rate": RATE,
    "batch": BATCH,
    "dims": dims,
    "x": packed(x.flatten().tolist(), "f"),
    "labels": labels.flatten().tolist(),
    "runs": [run("sgd", 1), run("adam", 2)],
}
print(json.dumps(result, indent=1))
