"""All operators of ONNX that are read, by name."""

from __future__ import annotations

from netwright.ports.onnx.read_attention import ATTENTION
from netwright.ports.onnx.read_call import Emit
from netwright.ports.onnx.read_control import CONTROL
from netwright.ports.onnx.read_convolutions import LINEAR
from netwright.ports.onnx.read_elementwise import ELEMENTWISE
from netwright.ports.onnx.read_gathering import GATHERING
from netwright.ports.onnx.read_normalising import NORMALISING
from netwright.ports.onnx.read_pooling import POOLING
from netwright.ports.onnx.read_quantised import QUANTISED
from netwright.ports.onnx.read_recurrent import RECURRENT
from netwright.ports.onnx.read_reductions import REDUCTIONS
from netwright.ports.onnx.read_resizing import RESIZING
from netwright.ports.onnx.read_shapes import SHAPES

OPERATORS: dict[str, Emit] = {
    **ELEMENTWISE,
    **SHAPES,
    **GATHERING,
    **REDUCTIONS,
    **LINEAR,
    **POOLING,
    **RESIZING,
    **NORMALISING,
    **RECURRENT,
    **QUANTISED,
    **ATTENTION,
    **CONTROL,
}
