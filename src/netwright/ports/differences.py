"""What the technologies are known to do differently, each with its remedy; docs/ports.md is made of this.

A difference names the operators it touches and when; a plan tells of it before a port is made, a port that
diverges at such an operator names it as the likely reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from netwright.ports.caffe.differences import DIFFERENCES as CAFFE
from netwright.ports.difference import Difference
from netwright.ports.differences_phones import PHONES
from netwright.ports.program import Layer, Program
from netwright.values import Limit


def _is_half(program: Program, layer: Layer) -> bool:
    kinds = {str(value.dtype) for value in program.exported.state_dict.values()}
    return bool(kinds & {"torch.float16", "torch.bfloat16"})


GENERAL: tuple[Difference, ...] = (
    Difference(
        "half-precision",
        ("ncnn", "mnn", "litert", "litert-micro"),
        (),
        "a network whose weights have 16 bits is not taken by the converter or not fed by the runtime",
        "port network.float(), whose 32-bit weights are the same numbers, and let the runtime halve them",
        kind="refused",
        when=_is_half,
        source="measured",
    ),
    Difference(
        "openvino-half-weights",
        ("openvino",),
        (),
        "OpenVINO's saving halves the weights to 16 bits unless told otherwise: errors beyond 1e-4",
        "save with compress_to_fp16=False",
        handled="the port keeps 32 bits",
        source="https://docs.openvino.ai/2026/openvino-workflow/model-preparation/conversion-parameters.html",
    ),
    Difference(
        "one-input-at-a-time",
        ("litert", "litert-micro", "executorch"),
        (),
        "the shapes of the inputs are fixed when the file is made",
        "make a port for every batch size that is needed",
        handled="the port takes one input",
        source="https://docs.pytorch.org/executorch/stable/",
    ),
    Difference(
        "local-response-norm",
        ("executorch", "litert-micro"),
        (),
        "local response normalisation becomes a three-dimensional pooling that these runtimes do not have",
        "compute it by a convolution with a band of ones",
        handled="the port does",
        kind="rewritten",
        source="measured; Krizhevsky et al. (2012), section 3.3",
        rewrites=("local-response-norm-by-convolution",),
    ),
    Difference(
        "adaptive-max-pooling",
        ("executorch", "litert", "litert-micro"),
        ("adaptive_max_pool1d", "adaptive_max_pool2d"),
        "adaptive max pooling is no operator of these converters'",
        "use max pooling with windows of the size that comes out",
        handled="the port does, where the axes part evenly",
        kind="rewritten",
        source="measured with executorch 1.5 and litert-torch 0.10",
        rewrites=("adaptive-pooling-by-windows",),
    ),
    Difference(
        "onnx-small-numbers",
        ("onnx", "openvino", "mnn", "tensorrt"),
        ("add", "sub"),
        "torch.onnx's optimiser takes a number below 1e-8 for 0 and leaves its addition out: a logarithm or a"
        " division by what may be 0 is another",
        "export with optimize=False, or add more",
        handled="the port's optimiser compares exactly",
        source="onnxscript/rewriter/_pattern_ir.py",
    ),
    Difference(
        "torchscript-numbers",
        ("torchscript",),
        (),
        "tracing keeps numbers that were computed in Python, such as the batch in a shape, as constants",
        "take sizes from tensors inside the traced code",
        handled="the port follows sizes, so its batch is free",
        source="https://docs.pytorch.org/docs/stable/generated/torch.jit.trace.html",
    ),
    Difference(
        "tensorrt-tf32",
        ("tensorrt",),
        (),
        "TensorRT multiplies in TF32, with 10 bits behind the point, unless told otherwise",
        "clear the builder's flag TF32",
        handled="the engine and build.sh are made without it",
        source="https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/advanced.html",
    ),
)


def differences() -> tuple[Difference, ...]:
    """Every known difference."""
    return GENERAL + PHONES + CAFFE


def met_by(program: Program, target: str) -> Iterator[Limit]:
    """The differences that a program meets in a technology and that the port does not mend by itself."""
    for difference in differences():
        if target not in difference.targets or difference.handled:
            continue
        for layer in program.layers:
            if difference.meets(program, layer):
                place = layer.place
                yield Limit(
                    layer.name if difference.operators else None,
                    place.file if difference.operators else None,
                    place.line if difference.operators else None,
                    difference.what,
                    difference.remedy,
                    difference.kind,
                    difference.id,
                )
                if not difference.operators:
                    break


def mended_by(rewrite: str, target: str) -> Difference | None:
    """The known difference of a technology that a rewrite is there for."""
    return next((d for d in differences() if target in d.targets and rewrite in d.rewrites), None)


def known_at(program: Program, layer: str, target: str) -> Difference | None:
    """The known difference of a technology at a layer's operator."""
    at = program.layer(layer)
    of_it = (d for d in differences() if target in d.targets and d.operators and d.meets(program, at))
    return next(of_it, None)
