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
BATCH, RATE, CLASSES, HIDDEN = 8, 0.05, 4, 5


def perceptron(x, w1, b1, w2, b2):
    return torch.tanh(x @ w1 + b1) @ w2 + b2


def convolutional(x, k1, c1, k2, c2, w, b):
    """Two convolutions, each with a pool; the windows of the second pool overlap."""
    first = F.max_pool2d(F.relu(F.conv2d(x, k1, c1, padding=1)), 2)
    second = F.max_pool2d(F.relu(F.conv2d(first, k2, c2, padding=2, groups=2)), 3, stride=2, padding=1)
    return second.flatten(1) @ w + b


def recurrent(x, w, r, b, wo, bo):
    """PyTorch's own LSTM by weights that lie as ONNX has them: its gates are i, o, f, c and PyTorch's i, f, g, o."""

    def gates(t):
        return t.reshape(4, HIDDEN, -1)[[0, 2, 3, 1]].reshape(4 * HIDDEN, -1)

    bw, br = (gates(part).flatten() for part in b[0].chunk(2))
    zeros = torch.zeros(1, x.shape[1], HIDDEN, dtype=x.dtype)
    states, _, _ = torch.lstm(x, (zeros, zeros), [gates(w[0]), gates(r[0]), bw, br], True, 1, 0.0, True, False, False)
    return states[-1] @ wo + bo


MODELS = {
    # Name: network, steps, shape of an example, weights.
    "mlp": (perceptron, 20, (6,), {"w1": (6, 8), "b1": (8,), "w2": (8, CLASSES), "b2": (CLASSES,)}),
    "cnn": (
        convolutional,
        8,
        (1, 8, 8),
        {"k1": (4, 1, 3, 3), "c1": (4,), "k2": (6, 2, 5, 5), "c2": (6,), "w": (24, CLASSES), "b": (CLASSES,)},
    ),
    "lstm": (
        recurrent,
        8,
        (7, 3),
        {
            **{"w": (1, 4 * HIDDEN, 3), "r": (1, 4 * HIDDEN, HIDDEN), "b": (1, 8 * HIDDEN)},
            **{"wo": (HIDDEN, CLASSES), "bo": (CLASSES,)},
        },
    ),
}


class Model:
    def __init__(self, name):
        self.network, self.steps, self.example, self.dims = MODELS[name]
        self.is_recurrent = self.network is recurrent
        self.sizes = [torch.Size(d).numel() for d in self.dims.values()]
        self.x = torch.randn(self.steps, BATCH, *self.example)
        self.labels = torch.randint(0, CLASSES, (self.steps, BATCH))

    def parts(self, vector):
        return [part.reshape(d).clone() for part, d in zip(vector.split(self.sizes), self.dims.values())]

    def loss(self, weights, step):
        x = self.x[step].to(weights[0].dtype)
        return F.cross_entropy(self.network(x.transpose(0, 1) if self.is_recurrent else x, *weights), self.labels[step])


def stepped(model, name, dtype, state, step):
    """One step from a state of flat vectors: the weights, then what the optimizer keeps."""
    flat = [vector.to(dtype) for vector in state]
    weights = [w.requires_grad_() for w in model.parts(flat[0])]
    kind = {"sgd": lambda: torch.optim.SGD(weights, RATE, momentum=0.9), "adam": lambda: torch.optim.Adam(weights, RATE)}
    optimizer = kind[name]()
    for i, w in enumerate(weights):
        if name == "sgd" and step > 0:
            optimizer.state[w] = {"momentum_buffer": model.parts(flat[1])[i]}
        if name == "adam" and step > 0:
            moments = {"exp_avg": model.parts(flat[1])[i], "exp_avg_sq": model.parts(flat[2])[i]}
            optimizer.state[w] = {"step": torch.tensor(float(step)), **moments}
    loss = model.loss(weights, step)
    loss.backward()
    optimizer.step()
    kept = {"sgd": ["momentum_buffer"], "adam": ["exp_avg", "exp_avg_sq"]}[name]
    vectors = [weights, *([optimizer.state[w][key] for w in weights] for key in kept)]
    return loss.item(), [torch.cat([v.detach().flatten() for v in each]).double() for each in vectors]


def packed(values, code):
    return base64.b64encode(struct.pack(f"<{len(values)}{code}", *values)).decode()


def run(model, name, slots):
    count = sum(model.sizes)
    start = torch.cat([torch.randn(d).flatten() * 0.5 for d in model.dims.values()])
    state = [start.double(), *(torch.zeros(count).double() for _ in range(slots))]
    before = [packed(v.tolist(), "f") for v in state]
    steps = []
    for step in range(model.steps):
        loss, after = stepped(model, name, torch.float64, state, step)
        _, after32 = stepped(model, name, torch.float32, state, step)
        steps.append(
            {
                "after": [packed(v.tolist(), "d") for v in after],
                "loss": loss,
                "float32": [float((a - b).abs().max()) for a, b in zip(after, after32)],
            }
        )
        state = [v.float().double() for v in after]
    return {"optimizer": name, "before": before, "steps": steps}


def golden(name):
    model = Model(name)
    return {
        "model": name,
        "example": model.example,
        "dims": model.dims,
        "x": packed(model.x.flatten().tolist(), "f"),
        "labels": model.labels.flatten().tolist(),
        "runs": [run(model, "sgd", 1), run(model, "adam", 2)],
    }


result = {"rate": RATE, "batch": BATCH, "models": [golden(name) for name in MODELS]}
print(json.dumps(result, indent=1))
