"""Networks with one fault each, written as a function or a setting in forward; its line ends in `# fault`."""

import inspect

import torch
from torch import nn
from torch.nn import functional as F

from conftest import mlp

from .networks import Recurrent


def line_of(network):
    """(file, line) of the fault of a class or function."""
    lines, first = inspect.getsourcelines(network)
    marked = [k for k, line in enumerate(lines) if line.rstrip().endswith("# fault")]
    assert len(marked) == 1
    return inspect.getsourcefile(network), first + marked[0]


class _Two(nn.Module):
    """Two linear layers, (N, 1, 8, 8) to (N, outputs)."""

    def __init__(self, inputs=64, outputs=10):
        super().__init__()
        self.body, self.head = nn.Linear(inputs, 32), nn.Linear(32, outputs)


class SoftmaxAtTheEnd(_Two):
    def forward(self, x):
        x = self.head(F.relu(self.body(x.flatten(1))))
        return F.softmax(x, dim=1)  # fault


class SigmoidAtTheEnd(_Two):
    def __init__(self):
        super().__init__(30, 1)

    def forward(self, x):
        x = self.head(F.relu(self.body(x)))[:, 0]
        return torch.sigmoid(x)  # fault


class RectifiedLogits(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return F.relu(self.head(x))  # fault


class RectifiedUnderSoftmax(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        x = F.relu(self.head(x))  # fault
        return F.log_softmax(x, dim=1)


class RectifiedNumber(_Two):
    def __init__(self, inputs=10):
        super().__init__(inputs, 1)

    def forward(self, x):
        x = F.relu(self.body(x))
        return F.relu(self.head(x))[:, 0]  # fault


class BoundedNumber(_Two):
    def __init__(self):
        super().__init__(10, 1)

    def forward(self, x):
        x = F.relu(self.body(x))
        return torch.sigmoid(self.head(x))[:, 0]  # fault


class SoftmaxOverOneUnit(_Two):
    def __init__(self):
        super().__init__(30, 1)

    def forward(self, x):
        x = F.relu(self.body(x))
        return torch.softmax(self.head(x), dim=1)[:, 0]  # fault


class Detached(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1))).detach()  # fault
        return self.head(x)


class NoGrad(_Two):
    def forward(self, x):
        with torch.no_grad():
            x = F.relu(self.body(x.flatten(1)))  # fault
        return self.head(x)


class ThroughData(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1))).data  # fault
        return self.head(x)


class ThroughNumPy(_Two):
    def forward(self, x):
        x = self.body(x.flatten(1)).detach().numpy()  # fault
        return self.head(F.relu(torch.from_numpy(x)))


class WithoutGradient(_Two):
    def forward(self, x):
        with torch.no_grad():
            x = F.relu(self.body(x.flatten(1)))  # fault
        return self.head(x)


class PlainList(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
        self.layers = [nn.Linear(32, 32), nn.Linear(32, 32)]

    def forward(self, x):
        x = F.relu(self.inward(x.flatten(1)))
        for layer in self.layers:
            x = F.relu(layer(x))  # fault
        return self.head(x)


class MadeInForward(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(nn.Linear(32, 32)(x).relu())  # fault


class NothingBetween(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
        self.second = nn.Linear(32, 32)  # fault

    def forward(self, x):
        x = self.first(x.flatten(1))
        x = self.second(F.dropout(x, 0.1, self.training))
        return self.head(x.relu())


class ConvolutionsAlone(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3)
        self.second = nn.Conv2d(8, 8, 3)  # fault
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8 * 4 * 4, 10)

    def forward(self, x):
        x = self.norm(self.first(x))
        x = self.second(x)
        return self.head(F.relu(x).flatten(1))


class SoftmaxOverSamples(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(x * torch.softmax(x, dim=0) * 32)  # fault


class DropoutStaysOn(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(F.dropout(x, 0.5))  # fault


class NoiseStaysOn(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(x + 0.1 * torch.randn_like(x))  # fault


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * x


class _Right(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * gradient * x


class WrongBackward(_Two):
    def forward(self, x):
        return self.head(_Doubled.apply(self.body(x.flatten(1))))


class RightBackward(_Two):
    def forward(self, x):
        return self.head(_Right.apply(self.body(x.flatten(1))))


class RootOfZero(_Two):
    def forward(self, x):
        x = self.body(x.flatten(1))
        x = x * (x > 0) / 3
        return self.head(torch.sqrt(x))  # fault


class GuardedRoot(_Two):
    def forward(self, x):
        x = self.body(x.flatten(1))
        x = x * (x > 0) / 3
        return self.head(torch.sqrt(x + 1e-3))


class DistanceOfZero(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        apart = x - x
        x = x + (apart * apart).sum(1, keepdim=True).sqrt()  # fault
        return self.head(x)


class TakesSamplesForTime(Recurrent):
    def __init__(self):
        super().__init__(nn.LSTM, batch_first=False)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])  # fault


class MeanOverSamples(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(x - x.mean(0, keepdim=True))  # fault


class MixedByReshape(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(x.t().reshape(len(x), 32))  # fault


class OneRowOnly(_Two):
    def __init__(self):
        super().__init__(8)

    def forward(self, x):
        x = x[:, 0, 0]  # fault
        return self.head(F.relu(self.body(x)))


class LeavesOutColumns(_Two):
    def __init__(self):
        super().__init__(40)

    def forward(self, x):
        x = x[..., :5].flatten(1)  # fault
        return self.head(F.relu(self.body(x)))


class OneStepOnly(Recurrent):
    def forward(self, x):
        return self.head(self.body(x[:, :1])[0][:, -1])  # fault


class Blind(_Two):
    def forward(self, x):
        x = x.flatten(1) * 0  # fault
        return self.head(F.relu(self.body(x)))


class ShutStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(0.001 * self.body(x)[0].mean(1))  # fault


class Overwrites(_Two):
    def forward(self, x):
        x = x.flatten(1).clone()
        x[:, 8:] = 0.0  # fault
        return self.head(F.relu(self.body(x)))


class ReadsOneStep(Recurrent):
    def forward(self, x):
        return self.head(self.body(x)[0][:, 0])  # fault


class GrowingStates(Recurrent):
    def __init__(self, gain=4.0):
        super().__init__(lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options))
        nn.init.orthogonal_(self.body.weight_hh_l0, gain)


class NearlyShut(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(x * 1e-3)  # fault


class DividedAway(_Two):
    def forward(self, x):
        return self.head(F.relu(self.body(x.flatten(1))) / 1000)


class ScalesItsInputs(_Two):
    def forward(self, x):
        return self.head(F.relu(self.body(x.flatten(1) * (1 / 255))))


class PooledToOne(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(x.mean(1, keepdim=True).expand_as(x))  # fault


class Growing(nn.Module):
    def __init__(self, gain=12.0):
        super().__init__()
        self.inward, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(8))
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.mul_(gain)

    def forward(self, x):
        x = F.relu(self.inward(x.flatten(1)))
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.head(x)


class Overflowing(_Two):
    def forward(self, x):
        x = F.relu(self.body(x.flatten(1)))
        return self.head(torch.exp(50 * x + 100))


def narrow(hidden=1):
    return lambda: mlp(hidden=hidden)


def factored():
    """A pair of layers through a bottleneck, which is a design."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 48),
        nn.ReLU(),
        nn.Linear(48, 4),
        nn.Linear(4, 48),
        nn.ReLU(),
        nn.Linear(48, 10),
    )


def separable():
    """A depthwise and a pointwise convolution with nothing between."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 16, 10),
    )  # fmt: skip


class DetachesTheState(nn.Module):
    """(N, T, F) to (N, 10), a cell whose state is detached before every step."""

    def __init__(self, features=8):
        super().__init__()
        self.cell, self.head = nn.GRUCell(features, 16), nn.Linear(16, 10)

    def forward(self, x):
        state = torch.zeros(len(x), 16)
        for step in x.unbind(1):
            state = self.cell(step, state.detach())  # fault
        return self.head(state)


class KeepsACopy(nn.Module):
    """(N, 1, 8, 8) to (N, 10); what is detached is only kept to look at."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x):
        hidden = self.body(x.flatten(1)).relu()
        self.seen = hidden.detach()
        return self.head(hidden)
