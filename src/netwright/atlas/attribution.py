"""What of the input counts for the answer, and whether the method would say the same of any network.

Computed by captum. A method whose picture hardly changes when every weight is random shows the input, not the
network (Adebayo et al. 2018, Sanity Checks for Saliency Maps), so every attribution carries that likeness.
"""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netwright.atlas.arrays import floats
from netwright.recipe import seeded
from netwright.runs.by_input import Call, looked_at
from netwright.runs.forward import forward, outputs_of
from netwright.values import Detail, UserError

METHODS = {
    "integrated-gradients": "integrated gradients (Sundararajan et al. 2017), 32 steps from zero",
    "gradient-times-input": "gradient × input (Shrikumar et al. 2016)",
    "occlusion": "occlusion: the answer's loss where a patch is set to zero (Zeiler and Fergus 2014)",
}
_STEPS = 32
Chosen = Callable[[Tensor], Tensor]  # outputs (B, ...) -> the number (B,) that is explained


def attribution(
    network: nn.Module, inputs: Any, method: str, target: int | None = None, call: Call = forward
) -> Detail:
    """How much each part of one input (1, ...) adds to the output `target`, the largest unless given: of
    images (H, W), summed over channels; of tokens (T,); of features (F,); of series (T, F).

    `randomised` is the rank correlation of sizes with those of the same network with random weights. Raises
    `UserError` for an unknown method, or where captum is not installed.
    """
    if method not in METHODS:
        raise UserError(f"no attribution {method!r}; say {', '.join(METHODS)}")
    if importlib.util.find_spec("captum") is None:
        raise UserError("attribution needs captum: pip install 'netwright[atlas]'")
    with looked_at(network, gradients=True):
        with torch.no_grad():
            outputs = outputs_of(call(network, inputs)).reshape(1, -1)
        goal = int(outputs.nan_to_num(nan=-torch.inf).argmax(1)) if target is None else target
        values = _attributed(network, inputs, method, goal, call)
    other = randomised(network)
    with looked_at(other, gradients=True):
        chance = _attributed(other, inputs, method, goal, call)
    return Detail(
        row=-1,
        kind="attribution",
        values=floats(values.cpu().numpy()),
        of=values.numel(),
        method=f"{METHODS[method]}, of output {goal}",
        randomised=_alike(values, chance),
    )


def randomised(network: nn.Module) -> nn.Module:
    """A copy in which the entries of every parameter are drawn anew with its own mean and spread."""
    other = copy.deepcopy(network)
    with seeded(0, "randomised"), torch.no_grad():
        for parameter in other.parameters():
            if parameter.is_floating_point() and parameter.numel() > 1:
                parameter.copy_(torch.randn_like(parameter) * parameter.std() + parameter.mean())
    return other


def _alike(one: Tensor, other: Tensor) -> float | None:
    """Rank correlation (Spearman) of sizes, 0 to 1; `None` where one of them does not vary."""
    from scipy.stats import spearmanr

    a, b = one.abs().flatten().cpu().numpy(), other.abs().flatten().cpu().numpy()
    either = (a > 0) | (b > 0)  # where the input is zero most methods are, whatever the network
    a, b = a[either], b[either]
    if len(a) < 3 or not (a != a[0]).any() or not (b != b[0]).any():
        return None
    found: Any = spearmanr(a, b)[0]
    return round(float(max(0.0, found)), 3)


def _attributed(network: nn.Module, inputs: Any, method: str, goal: int, call: Call) -> Tensor:
    asked, whole = _asked(inputs)
    answer = _explained(network, whole, goal, call)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not asked.is_floating_point():
            return _of_tokens(network, asked, answer, method)
        return _summed(_by_captum(answer, asked, method), asked)


def _asked(inputs: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """The tensor that is explained, floating where there is one, and how to put another in its place."""
    if isinstance(inputs, Tensor):
        return inputs, lambda values: values
    if isinstance(inputs, Mapping):
        keys = [k for k, v in inputs.items() if isinstance(v, Tensor)]
        key = next((k for k in keys if inputs[k].is_floating_point()), keys[0])
        return inputs[key], lambda values: {**_repeated(inputs, len(values)), key: values}
    if isinstance(inputs, (tuple, list)) and inputs and isinstance(inputs[0], Tensor):
        return inputs[0], lambda values: (values, *_repeated(inputs[1:], len(values)))
    raise UserError("attribution: the network's inputs are no tensors that could be explained")


def _repeated(inputs: Any, count: int) -> Any:
    """The other inputs as often as the explained one is varied."""
    from netwright.recipe import tree_map

    return tree_map(lambda t: t.expand(count, *t.shape[1:]) if t.ndim and len(t) == 1 else t, inputs)


def _explained(network: nn.Module, whole: Callable[[Tensor], Any], goal: int, call: Call) -> Chosen:
    def answer(values: Tensor) -> Tensor:
        outputs = outputs_of(call(network, whole(values)))
        return outputs.reshape(len(outputs), -1)[:, goal]

    return answer


def _by_captum(answer: Chosen, values: Tensor, method: str) -> Tensor:
    from captum.attr import InputXGradient, IntegratedGradients, Occlusion

    values = values.detach().clone().requires_grad_()
    match method:
        case "integrated-gradients":
            return IntegratedGradients(answer).attribute(values, n_steps=_STEPS, internal_batch_size=_STEPS)
        case "gradient-times-input":
            return InputXGradient(answer).attribute(values)
        case _:
            window = _window(tuple(values.shape[1:]))
            with torch.no_grad():
                return Occlusion(answer).attribute(values.detach(), window, strides=_strides(window))


def _window(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A patch of about an eighth of an image's side over all channels; one step of a series; one feature."""
    if len(shape) == 3:
        return shape[0], max(1, shape[1] // 8), max(1, shape[2] // 8)
    return (1,) * len(shape) if len(shape) == 1 else (1, *shape[1:])


def _strides(window: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(1, n // 2) if k else n for k, n in enumerate(window))


def _of_tokens(network: nn.Module, tokens: Tensor, answer: Chosen, method: str) -> Tensor:
    """(T,) of whole numbers (1, T): at the first embedding, summed over its features; by occlusion, with the
    token set to 0."""
    embedding = next((m for m in network.modules() if isinstance(m, nn.Embedding)), None)
    if method == "occlusion" or embedding is None:
        from captum.attr import FeatureAblation

        with torch.no_grad():
            return FeatureAblation(answer).attribute(tokens, baselines=0)[0].float()
    from captum.attr import LayerGradientXActivation, LayerIntegratedGradients

    if method == "integrated-gradients":
        lig = LayerIntegratedGradients(answer, embedding)
        values = lig.attribute(tokens, baselines=torch.zeros_like(tokens), n_steps=_STEPS)
    else:
        values = LayerGradientXActivation(answer, embedding).attribute(tokens)
    found: Any = values[0] if isinstance(values, tuple) else values
    return found.detach().sum(-1)[0]


def _summed(values: Tensor, like: Tensor) -> Tensor:
    """Over the channels of an image (1, C, H, W); else as it is without the batch."""
    found = values.detach()[0]
    return found.sum(0) if found.ndim == 3 else found
