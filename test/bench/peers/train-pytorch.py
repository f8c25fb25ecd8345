"""Trains one of the benchmark's models with PyTorch on the CPU: MODEL THREADS SECONDS.

Prints a line after the first step, and one of JSON at the end.
"""

import json
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional

name, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)
batch = 32


def autoencoder():
    net = nn.Sequential(
        nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 32)
    )
    return net, torch.optim.Adam(net.parameters(), 1e-3), torch.rand(8192, 32), None


def mlp():
    net = nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10))
    return net, torch.optim.Adam(net.parameters(), 1e-3), torch.rand(4096, 784), torch.randint(0, 10, (4096,))


def cnn():
    net = nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10)),
    )
    return net, torch.optim.SGD(net.parameters(), 0.05), torch.rand(4096, 1, 28, 28), torch.randint(0, 10, (4096,))


class Recurrent(nn.Module):
    """50 steps of 16 numbers through an LSTM of 64; the last hidden state tells one of 10."""

    def __init__(self):
        super().__init__()
        self.layer, self.output = nn.LSTM(16, 64), nn.Linear(64, 10)

    def forward(self, x):
        states, _ = self.layer(x.transpose(0, 1))
        return self.output(states[-1])


def lstm():
    net = Recurrent()
    return net, torch.optim.Adam(net.parameters(), 1e-3), torch.rand(4096, 50, 16), torch.randint(0, 10, (4096,))


net, optimizer, rows, labels = {"autoencoder": autoencoder, "mlp": mlp, "cnn": cnn, "lstm": lstm}[name]()


def step(chosen):
    x = rows[chosen]
    optimizer.zero_grad(set_to_none=True)
    y = net(x)
    loss = functional.mse_loss(y, x) if labels is None else functional.cross_entropy(y, labels[chosen])
    loss.backward()
    optimizer.step()
    return loss


def run(lasting):
    """One epoch after the other; the loss is read once each, as one would for a bar of progress."""
    steps, until = 0, time.perf_counter() + lasting
    while True:
        for chosen in torch.randperm(len(rows)).split(batch):
            loss = step(chosen)
            steps += 1
            if time.perf_counter() >= until:
                return steps, float(loss)


float(step(torch.arange(batch)))
print("first", flush=True)
run(0.5)
at, cpu = time.perf_counter(), time.process_time()
steps, loss = run(seconds)
wall, cpu = time.perf_counter() - at, time.process_time() - cpu
with open("/proc/self/maps", encoding="utf8") as maps:
    blas = "OpenBLAS" if "openblas" in maps.read() else "the BLAS that it links"
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(
    json.dumps(
        {
            **{"msPerStep": wall / steps * 1e3, "cpuMsPerStep": cpu / steps * 1e3, "steps": steps, "loss": loss},
            **{"memoryMB": memory, "version": f"PyTorch {torch.__version__} with {blas}"},
        }
    )
)
