"""Writes gradients.json: gradients of ONNX operators as PyTorch computes them, in float64.

    python3 test/support/pytorch/gradients.py > test/support/pytorch/gradients.json

Made with PyTorch 1.13. The tests read the file alone and need no Python.
"""

import json
import math
import random

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
draw = random.Random(20)
rows = []


def numbers(dims, low=-1.0, high=1.0):
    """Numbers of three decimals that are float32 numbers as well, all apart from each other and from 0."""
    count = math.prod(dims)
    places = draw.sample(range(128), count) if count <= 128 else [draw.randrange(128) for _ in range(count)]
    values = [low + (high - low) * (place + 0.5) / 128 for place in places]
    return torch.tensor(values).float().double().reshape(dims).requires_grad_()


def whole(values, dims=None):
    return torch.tensor(values, dtype=torch.int64).reshape(dims if dims is not None else [len(values)])


def described(value):
    if value is None:
        return None
    kind = "int64" if value.dtype == torch.int64 else "bool" if value.dtype == torch.bool else "real"
    data = [int(x) for x in value.flatten()] if kind != "real" else [float(x) for x in value.detach().flatten()]
    return {"kind": kind, "dims": list(value.shape), "values": data}


def row(op, function, inputs, attributes=None, outputs=None):
    """The gradients of the sum of the weighted results for every real input."""
    results = function(*inputs)
    results = results if isinstance(results, (tuple, list)) else [results]
    weights = [torch.tensor([draw.randrange(-64, 65) / 64 for _ in range(y.numel())]).reshape(y.shape) for y in results]
    loss = sum((y * weight).sum() for y, weight in zip(results, weights))
    real = [x for x in inputs if x is not None and x.requires_grad]
    by_input = {id(x): gradient for x, gradient in zip(real, torch.autograd.grad(loss, real))}
    rows.append(
        {
            "op": op,
            "attributes": attributes or {},
            "outputs": outputs or len(results),
            "inputs": [described(x) for x in inputs],
            "weights": [described(weight)["values"] for weight in weights],
            "gradients": [described(by_input[id(x)])["values"] if id(x) in by_input else None for x in inputs],
        }
    )


def each(op, function, low=-1.0, high=1.0, attributes=None):
    for dims in ([5], [2, 3]):
        row(op, function, [numbers(dims, low, high)], attributes)


def pairs(op, function, low=-1.0, high=1.0, other=None, attributes=None):
    for a, b in (([2, 3], [2, 3]), ([2, 1, 3], [4, 1]), ([3], [2, 3])):
        row(op, function, [numbers(a, low, high), numbers(b, *(other or (low, high)))], attributes)


pairs("Add", torch.add)
pairs("Sub", torch.sub)
pairs("Mul", torch.mul)
pairs("Div", torch.div, -1, 1, (0.4, 2))
pairs("Pow", torch.pow, 0.3, 2, (-2, 2))
pairs("Max", torch.maximum, -1, 1, (-0.995, 1.005))
pairs("Min", torch.minimum, -1, 1, (-0.995, 1.005))
pairs("Sum", torch.add)
pairs("Mean", lambda a, b: (a + b) / 2)
pairs("Mod", torch.fmod, 1, 9, (0.4, 0.9), {"fmod": 1})

each("Neg", torch.neg)
each("Abs", torch.abs)
each("Exp", torch.exp)
each("Log", torch.log, 0.1, 3)
each("Sqrt", torch.sqrt, 0.1, 3)
each("Reciprocal", torch.reciprocal, 0.3, 3)
each("Erf", torch.erf, -2, 2)
for name in "sin cos tan sinh cosh asinh atan".split():
    each(name.capitalize(), getattr(torch, name), -1.4, 1.4)
for name in "asin acos atanh".split():
    each(name.capitalize(), getattr(torch, name), -0.9, 0.9)
each("Acosh", torch.acosh, 1.2, 4)

each("Relu", F.relu)
each("LeakyRelu", lambda x: F.leaky_relu(x, 0.25), attributes={"alpha": 0.25})
each("ThresholdedRelu", lambda x: F.threshold(x, 0.5, 0), attributes={"alpha": 0.5})
each("Shrink", lambda x: F.softshrink(x, 0.25), attributes={"lambd": 0.25, "bias": 0.25})
each("Elu", lambda x: F.elu(x, 0.75), -3, 3, {"alpha": 0.75})
each("Celu", lambda x: F.celu(x, 0.75), -3, 3, {"alpha": 0.75})
each("Selu", F.selu, -3, 3)
each("Sigmoid", torch.sigmoid, -4, 4)
each("HardSigmoid", lambda x: torch.clamp(0.25 * x + 0.5, 0, 1), -4, 4, {"alpha": 0.25, "beta": 0.5})
each("HardSwish", F.hardswish, -5, 5)
each("Tanh", torch.tanh, -3, 3)
each("Softplus", F.softplus, -4, 4)
each("Softsign", F.softsign, -4, 4)
each("Mish", F.mish, -4, 4)
each("Gelu", F.gelu, -3, 3)
each("Gelu", lambda x: F.gelu(x, approximate="tanh"), -3, 3, {"approximate": "tanh"})
row("PRelu", lambda x, slope: torch.where(x > 0, x, slope * x), [numbers([2, 3]), numbers([3])])
row("PRelu", F.prelu, [numbers([4, 2]), numbers([1])])
bounds = [torch.tensor(-0.25), torch.tensor(0.5)]
row("Clip", lambda x, low, high: torch.clamp(x, low, high), [numbers([3, 4]), *bounds])
row("Clip", lambda x, low: torch.clamp(x, low), [numbers([7]), bounds[0]])

for axis in (0, 1, -1):
    row("Softmax", lambda x: F.softmax(x, axis), [numbers([2, 3, 2], -4, 4)], {"axis": axis})
    row("LogSoftmax", lambda x: F.log_softmax(x, axis), [numbers([2, 3, 2], -4, 4)], {"axis": axis})


def reductions(op, function, low=-1.0, high=1.0):
    for axes, keep in (([1], True), ([0, -1], False)):
        row(op, lambda x, _: function(x, axes, keep), [numbers([2, 3, 2], low, high), whole(axes)], {"keepdims": int(keep)})


def product(x, axes, keep):
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


reductions("ReduceSum", lambda x, axes, keep: x.sum(axes, keepdim=keep))
reductions("ReduceMean", lambda x, axes, keep: x.mean(axes, keepdim=keep))
reductions("ReduceMax", lambda x, axes, keep: x.amax(axes, keepdim=keep))
reductions("ReduceMin", lambda x, axes, keep: x.amin(axes, keepdim=keep))
reductions("ReduceProd", product)
reductions("ReduceL1", lambda x, axes, keep: x.abs().sum(axes, keepdim=keep))
reductions("ReduceL2", lambda x, axes, keep: x.norm(2, axes, keepdim=keep))
reductions("ReduceSumSquare", lambda x, axes, keep: x.square().sum(axes, keepdim=keep))
reductions("ReduceLogSum", lambda x, axes, keep: x.sum(axes, keepdim=keep).log(), 0.2, 2)
reductions("ReduceLogSumExp", lambda x, axes, keep: x.logsumexp(axes, keepdim=keep), -3, 3)
zero = numbers([2, 3]).detach()
zero[0, 1] = 0
row("ReduceProd", lambda x, _: x.prod(1), [zero.requires_grad_(), whole([1])], {"keepdims": 0})
row("CumSum", lambda x, _: x.cumsum(1), [numbers([2, 4]), whole([1], [])])
row("CumSum", lambda x, _: x.flip(0).cumsum(0).flip(0), [numbers([4]), whole([0], [])], {"reverse": 1})

for a, b in (([3], [3]), ([3], [3, 2]), ([2, 3], [3]), ([2, 3], [3, 2]), ([2, 2, 3], [3, 2]), ([2, 1, 2, 3], [2, 3, 2])):
    row("MatMul", torch.matmul, [numbers(a), numbers(b)])
for transposed_a in (0, 1):
    for transposed_b in (0, 1):
        row(
            "Gemm",
            lambda a, b, c: 0.5 * (a.T if transposed_a else a) @ (b.T if transposed_b else b) + 2 * c,
            [
                numbers([2, 3] if transposed_a else [3, 2]),
                numbers([4, 2] if transposed_b else [2, 4]),
                numbers([[4], [3, 1], [3, 4], []][2 * transposed_a + transposed_b]),
            ],
            {"alpha": 0.5, "beta": 2.0, "transA": transposed_a, "transB": transposed_b},
        )
for equation, a, b in (("ij,jk->ik", [2, 3], [3, 2]), ("bij,bkj->bik", [2, 2, 3], [2, 1, 3]), ("ij,k->k", [2, 2], [3])):
    row("Einsum", lambda x, y: torch.einsum(equation, x, y), [numbers(a), numbers(b)], {"equation": equation})

row("Identity", lambda x: x * 1, [numbers([2, 3])])
row("Reshape", lambda x, _: x.reshape(3, 2), [numbers([2, 3]), whole([3, -1])])
row("Flatten", lambda x: x.reshape(2, 6), [numbers([2, 3, 2])], {"axis": 1})
row("Squeeze", lambda x, _: x.squeeze(1), [numbers([2, 1, 3]), whole([1])])
row("Unsqueeze", lambda x, _: x.unsqueeze(1), [numbers([2, 3]), whole([1])])
row("Transpose", lambda x: x.permute(2, 0, 1), [numbers([2, 3, 2])], {"perm": [2, 0, 1]})
row("Expand", lambda x, _: x.expand(2, 3, 4), [numbers([3, 1]), whole([2, 3, 4])])
row("Tile", lambda x, _: x.tile(2, 3), [numbers([2, 2]), whole([2, 3])])
row("Concat", lambda a, b: torch.cat([a, b], 1), [numbers([2, 3]), numbers([2, 1])], {"axis": 1})
row("Split", lambda x, _: x.split([1, 3], 1), [numbers([2, 4]), whole([1, 3])], {"axis": 1})
row("OneHot", lambda i, _, v: v[0] + F.one_hot(i, 4) * (v[1] - v[0]), [whole([0, 3, 1]), whole([4]), numbers([2])])
row("Range", lambda a, _, d: a + torch.arange(4) * d, [numbers([], 0.1, 0.3), torch.tensor(3.7), numbers([], 0.9, 1.1)])
row("TopK", lambda x, _: x.topk(2, 1).values, [numbers([2, 4]), whole([2])], {"axis": 1}, 2)
row("Slice", lambda x, *_: x[:, 1:6:2], [numbers([2, 7]), whole([1]), whole([6]), whole([1]), whole([2])])
row("Slice", lambda x, *_: x.flip(0)[:2], [numbers([4]), whole([-1]), whole([1]), whole([0]), whole([-1])])
row("Pad", lambda x, _: F.pad(x, (1, 2, 0, 1)), [numbers([2, 3]), whole([0, 1, 1, 2])])
row("Pad", lambda x, _: F.pad(x, (2, 1), "reflect"), [numbers([1, 1, 4]), whole([0, 0, 2, 0, 0, 1])], {"mode": "reflect"})
row("Pad", lambda x, _: F.pad(x, (1, 2), "replicate"), [numbers([1, 1, 3]), whole([0, 0, 1, 0, 0, 2])], {"mode": "edge"})
mask = torch.tensor([[True, False, True], [False, False, True]])
row("Where", torch.where, [mask, numbers([2, 3]), numbers([3])])
row("Gather", lambda x, index: x[index], [numbers([4, 2]), whole([0, 3, 3, 1])])
row("Gather", lambda x, index: x.index_select(1, index), [numbers([2, 4]), whole([2, 0, 2])], {"axis": 1})
row("GatherElements", lambda x, index: x.gather(1, index), [numbers([2, 3]), whole([0, 0, 2, 1], [2, 2])], {"axis": 1})
row("GatherND", lambda x, index: x[index[:, 0], index[:, 1]], [numbers([2, 3]), whole([0, 2, 1, 1, 0, 2], [3, 2])])
row(
    "ScatterElements",
    lambda x, index, updates: x.scatter(1, index, updates),
    [numbers([2, 3]), whole([2, 0], [2, 1]), numbers([2, 1])],
    {"axis": 1},
)
row(
    "ScatterElements",
    lambda x, index, updates: x.scatter_add(0, index, updates),
    [numbers([4]), whole([1, 1, 3]), numbers([3])],
    {"axis": 0, "reduction": "add"},
)
row(
    "ScatterND",
    lambda x, index, updates: x.index_put((index[:, 0],), updates),
    [numbers([3, 2]), whole([2, 0], [2, 1]), numbers([2, 2])],
)

class_weights = torch.tensor([0.5, 2.0, 1.25])
labels = whole([0, 2, 1, 2], [2, 2])
for reduction in ("mean", "sum", "none"):
    row(
        "NegativeLogLikelihoodLoss",
        lambda x, t, w: F.nll_loss(x, t, w, reduction=reduction, ignore_index=1),
        [numbers([2, 3, 2]), labels, class_weights],
        {"reduction": reduction, "ignore_index": 1},
    )
    row(
        "SoftmaxCrossEntropyLoss",
        lambda x, t, w: F.cross_entropy(x, t, w, reduction=reduction, ignore_index=1),
        [numbers([2, 3, 2]), labels, class_weights],
        {"reduction": reduction, "ignore_index": 1},
    )
row("SoftmaxCrossEntropyLoss", F.cross_entropy, [numbers([2, 3]), whole([2, 0])])

row(
    "Conv",
    lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1, groups=2),
    [numbers([1, 2, 4, 4]), numbers([2, 1, 3, 3]), numbers([2])],
    {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 2, "kernel_shape": [3, 3]},
)
row(
    "Conv",
    lambda x, w: F.conv1d(x, w, dilation=2),
    [numbers([2, 2, 6]), numbers([3, 2, 2])],
    {"dilations": [2], "kernel_shape": [2]},
)
row(
    "ConvTranspose",
    lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1),
    [numbers([1, 2, 2, 2]), numbers([2, 2, 3, 3]), numbers([2])],
    {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1], "kernel_shape": [3, 3]},
)
row("MaxPool", lambda x: F.max_pool2d(x, 2), [numbers([1, 2, 4, 4])], {"kernel_shape": [2, 2], "strides": [2, 2]})
row("MaxPool", lambda x: F.max_pool1d(x, 3, 1), [numbers([1, 2, 6])], {"kernel_shape": [3], "strides": [1]})
row(
    "AveragePool",
    lambda x: F.avg_pool2d(x, 2, 1, 1, count_include_pad=False),
    [numbers([1, 2, 3, 3])],
    {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1, 1, 1, 1], "count_include_pad": 0},
)
row("GlobalAveragePool", lambda x: x.mean((2, 3), keepdim=True), [numbers([2, 2, 2, 3])])
row("GlobalMaxPool", lambda x: x.amax((2, 3), keepdim=True), [numbers([2, 2, 2, 3])])
row(
    "SpaceToDepth",
    lambda x: x.reshape(1, 2, 2, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3),
    [numbers([1, 2, 4, 6])],
    {"blocksize": 2},
)
row(
    "DepthToSpace",
    lambda x: x.reshape(1, 2, 2, 2, 2, 3).permute(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6),
    [numbers([1, 8, 2, 3])],
    {"blocksize": 2},
)
row(
    "GroupNormalization",
    lambda x, w, b: F.group_norm(x, 2, w, b, 1e-5),
    [numbers([2, 4, 3]), numbers([4]), numbers([4])],
    {"num_groups": 2, "epsilon": 1e-5},
)
row(
    "LayerNormalization",
    lambda x, w, b: F.layer_norm(x, [4], w, b, 1e-5),
    [numbers([3, 4]), numbers([4]), numbers([4])],
    {"axis": -1, "epsilon": 1e-5},
)
row(
    "BatchNormalization",
    lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b, False, 0, 1e-5),
    [numbers([2, 3, 2]), numbers([3]), numbers([3]), numbers([3]).detach(), numbers([3], 0.5, 2).detach()],
    {"epsilon": 1e-5},
)
row(
    "InstanceNormalization",
    lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-5),
    [numbers([2, 3, 4]), numbers([3]), numbers([3])],
    {"epsilon": 1e-5},
)

print("[")
print(",\n".join(json.dumps(entry, separators=(",", ":")) for entry in rows))
print("]")
