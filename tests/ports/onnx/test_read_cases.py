"""Every operator that is read passes the cases that ONNX keeps for it.

The cases run twice: as they are, and with all inputs but the first as constants of the model, which is how
networks come; then layers are modules, and what depends on constants alone is computed while reading.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor

from netwright.ports.onnx.read import read, unsupported
from netwright.ports.onnx.read_operators import OPERATORS
from netwright.values import UserError

_SMALL = {
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
    "float8_e4m3fnuz": torch.float8_e4m3fnuz,
    "float8_e5m2fnuz": torch.float8_e5m2fnuz,
}
# ONNX Runtime and PyTorch count the whole pixels of an output where ONNX counts the fraction too.
_OTHERWISE = {
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_cubic_align_corners",
}
# Cases of more than one operator, or whose input is no tensor, are counted but not asked for.
_NOT_READ = ("not read", "lacks", "is no tensor", "uses opset")


class Untested(Exception):
    """Holds text, sequences or a type that numpy cannot hand to torch."""


def tensor(value: object) -> Tensor:
    try:
        array = np.array(value)
        if array.dtype.name in _SMALL:
            whole = array.view({1: np.uint8, 2: np.int16}[array.dtype.itemsize])
            return torch.from_numpy(whole.copy()).view(_SMALL[array.dtype.name])
        return torch.from_numpy(array)
    except (ValueError, TypeError) as other:
        raise Untested from other


def outcome(case: object, constant: bool) -> str:
    """'passes', 'untested', 'not read' or what went wrong."""
    try:
        inputs, expected = case.data_sets[0]  # type: ignore[attr-defined]
        wanted = [tensor(value) for value in expected]
        given = [tensor(value) for value in inputs]
        model = onnx.ModelProto()
        model.CopyFrom(case.model)  # type: ignore[attr-defined]
        if constant:
            if len(given) < 2 or len(model.graph.input) != len(given):
                return "untested"
            for slot, value in list(zip(model.graph.input, inputs, strict=True))[1:]:
                model.graph.initializer.append(numpy_helper.from_array(np.array(value), slot.name))
            given = given[:1]
        with torch.no_grad():
            made = read(model.SerializeToString())(*given)
        ours = list(made) if isinstance(made, tuple) else [made]
        rough = wanted[0].dtype in (torch.float16, torch.bfloat16)
        for mine, other in zip(ours, wanted, strict=True):
            assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
            kind = torch.complex128 if mine.is_complex() else torch.float64
            tolerance = {"rtol": max(case.rtol, 1e-3), "atol": 1e-2 if rough else 1e-4}  # type: ignore[attr-defined]
            torch.testing.assert_close(mine.to(kind), other.to(kind), equal_nan=True, **tolerance)
    except Untested:
        return "untested"
    except UserError as refused:
        return "not read" if any(words in str(refused) for words in _NOT_READ) else str(refused)
    except NotImplementedError as lacking:  # torch has no arithmetic of uint16, uint32 and uint64
        return "untested" if "UInt" in str(lacking) else str(lacking)
    except Exception as wrong:
        return f"{type(wrong).__name__}: {' '.join(str(wrong).split())[:160]}"
    return "passes"


@pytest.fixture(scope="module", params=[False, True], ids=["given", "constant"])
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[str, set[str]]]]:
    """For each case its outcome and its operators."""
    loader = pytest.importorskip("onnx.backend.test.loader", reason="onnx without its cases")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases compute with infinities on purpose
        cases = loader.load_model_tests(kind="node")
        yield {
            case.name: (outcome(case, request.param), {node.op_type for node in case.model.graph.node})
            for case in cases
        }


@pytest.mark.slow
def test_no_case_gives_anything_but_its_result_or_a_refusal(
    outcomes: dict[str, tuple[str, set[str]]],
) -> None:
    wrong = {
        name: result
        for name, (result, _) in outcomes.items()
        if result not in ("passes", "untested", "not read") and name not in _OTHERWISE
    }
    assert wrong == {}


@pytest.mark.slow
def test_the_cases_of_operators_that_are_read_pass(outcomes: dict[str, tuple[str, set[str]]]) -> None:
    results = [result for result, kinds in outcomes.values() if kinds <= set(OPERATORS)]
    tested = [result for result in results if result != "untested"]
    passing = tested.count("passes")
    assert passing >= 970
    assert passing / len(tested) > 0.95


@pytest.mark.slow
def test_every_operator_that_is_read_has_a_case_that_passes(
    outcomes: dict[str, tuple[str, set[str]]], request: pytest.FixtureRequest
) -> None:
    if "constant" in request.node.name:
        pytest.skip("operators of one input have no constants")
    passing = {kind for result, kinds in outcomes.values() if result == "passes" for kind in kinds}
    untested = {
        "LSTM",
        "GRU",
        "RNN",
        "GlobalLpPool",
        "Constant",
        "Unique",
    }  # weights must be constants: see networks
    assert set(OPERATORS) - passing - untested == set()


def test_what_is_not_read_is_listed_with_its_operator() -> None:
    node = onnx.helper.make_node("RoiAlign", ["x", "r", "b"], ["y"], name="regions")
    relu = onnx.helper.make_node("Relu", ["y"], ["z"], name="relu")
    graph = onnx.helper.make_graph(
        [node, relu],
        "graph",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 1, 4, 4])],
        [onnx.helper.make_tensor_value_info("z", 1, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    assert unsupported(model.SerializeToString()) == [("regions", "RoiAlign")]
