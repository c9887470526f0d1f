"""Networks read back from ONNX: the zoo trains on, and pretrained networks answer as in ONNX Runtime."""

from __future__ import annotations

import importlib.util
import pickle
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.ports.zoo import ZOO
from torch import Tensor

from netwright.ports.onnx.read import read, unsupported
from netwright.values import UserError
from ports.onnx.models import assert_same, by_runtime, exported, one, outputs_of


def loss_of(outputs: list[Tensor], targets: list[Tensor]) -> Tensor:
    return torch.stack([(o - t).square().mean() for o, t in zip(outputs, targets, strict=True)]).sum()


def forward(network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    outputs = network(*inputs)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_a_network_that_went_to_onnx_and_back_is_the_same_and_trains_on(name: str) -> None:
    network, inputs = ZOO[name]()
    back = read(exported(network, inputs))
    assert_same(outputs_of(back, *inputs), outputs_of(network, *inputs))

    targets = [torch.zeros_like(output) for output in outputs_of(back, *inputs)]
    optimizer = torch.optim.SGD(back.parameters(), lr=1e-3)
    before = loss_of(forward(back, inputs), targets)
    before.backward()
    untouched = [n for n, p in back.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []
    optimizer.step()
    assert loss_of(forward(back, inputs), targets) < before


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_a_network_read_back_is_copied_kept_and_exported_like_any_other(name: str) -> None:
    network, inputs = ZOO[name]()
    back = read(exported(network, inputs))
    expected = outputs_of(back, *inputs)
    assert_same(outputs_of(deepcopy(back), *inputs), expected)
    assert_same(outputs_of(pickle.loads(pickle.dumps(back)), *inputs), expected)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*_flat_weights")  # recurrent layers, in every export
        program = torch.export.export(back, inputs, strict=False)
    assert_same(outputs_of(program.module(), *inputs), expected)


def noise(*shape: int, size: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * size


SILERO: tuple[Callable[[], tuple[Tensor, ...]], ...] = (
    lambda: (noise(1, 576), noise(2, 1, 128, size=0.1), torch.tensor(16000)),
    lambda: (noise(3, 288), noise(2, 3, 128, size=0.1), torch.tensor(8000)),
)
REAL: dict[str, tuple[str, str, Callable[[], tuple[Tensor, ...]]]] = {
    "silero, 16 kHz": ("silero_vad", "data/silero_vad.onnx", SILERO[0]),
    "silero, 8 kHz": ("silero_vad", "data/silero_vad.onnx", SILERO[1]),
    "rapidocr, direction": (
        "rapidocr_onnxruntime",
        "models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        lambda: (noise(2, 3, 48, 192),),
    ),
    "rapidocr, text": (
        "rapidocr_onnxruntime",
        "models/ch_PP-OCRv4_rec_infer.onnx",
        lambda: (noise(2, 3, 48, 96),),
    ),
    "rapidocr, boxes": (
        "rapidocr_onnxruntime",
        "models/ch_PP-OCRv4_det_infer.onnx",
        lambda: (noise(1, 3, 96, 128),),
    ),
    "basic-pitch": (
        "basic_pitch",
        "saved_models/icassp_2022/nmp.onnx",
        lambda: (noise(2, 43844, 1, size=0.1),),
    ),
    "magika": (
        "magika",
        "models/standard_v3_3/model.onnx",
        lambda: (torch.from_numpy(np.random.default_rng(0).integers(0, 257, (3, 2048), dtype=np.int32)),),
    ),
}


def file_of(package: str, name: str) -> Path:
    """A file that an installed package ships; found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(found.submodule_search_locations[0]) / name


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_pretrained_network_answers_as_in_onnx_runtime(name: str) -> None:
    package, file, inputs_of = REAL[name]
    path, inputs = file_of(package, file), inputs_of()
    assert unsupported(path) == []
    assert_same(outputs_of(read(path), *inputs), by_runtime(path.read_bytes(), *inputs))


def test_a_network_whose_deciding_input_is_fixed_is_settled_and_exports() -> None:
    path = file_of("silero_vad", "data/silero_vad.onnx")
    sound, state, rate = SILERO[0]()
    network = read(path, fixed={"sr": rate})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*_flat_weights")  # recurrent layers, in every export
        program = torch.export.export(network, (sound, state), strict=False)
    assert_same(outputs_of(program.module(), sound, state), by_runtime(path.read_bytes(), sound, state, rate))


def test_an_input_to_fix_that_is_not_there_is_named() -> None:
    content = one("Relu", ["x"])
    with pytest.raises(UserError, match="no input 'rate' to fix; its inputs are 'x'"):
        read(content, fixed={"rate": torch.tensor(1)})
