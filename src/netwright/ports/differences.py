"""What the technologies are known to do differently, each with its remedy; docs/ports.md is made of this.

A difference names the operators it touches and when; a plan tells of it before a port is made, a port that
diverges at such an operator names it as the likely reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netwright.ports.caffe.differences import DIFFERENCES as CAFFE
from netwright.ports.difference import Difference
from netwright.ports.program import Layer, Program
from netwright.values import Limit


def _argument(program: Program, layer: Layer, position: int, otherwise: Any) -> Any:
    """What an operator is given at a position of its schema, which may be left out."""
    arguments = program.node(layer.name).args
    return arguments[position] if len(arguments) > position else otherwise


def _wide_window(program: Program, layer: Layer) -> bool:
    weight: Any = program.node(layer.name).args[1]
    return any(n > 1 for n in weight.meta["val"].shape[2:])


def _rounds_up(program: Program, layer: Layer) -> bool:
    return bool(_argument(program, layer, 4, False))


def _leaves_padding_out(program: Program, layer: Layer) -> bool:
    stride, padding = _argument(program, layer, 2, [1]), _argument(program, layer, 3, [0])
    return any(padding) and any(n > 1 for n in stride) and not _argument(program, layer, 5, True)


def _is_half(program: Program, layer: Layer) -> bool:
    kinds = {str(value.dtype) for value in program.exported.state_dict.values()}
    return bool(kinds & {"torch.float16", "torch.bfloat16"})


DIFFERENCES: tuple[Difference, ...] = (
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
        "ncnn-half-weights",
        ("ncnn",),
        (),
        "pnnx halves the weights to 16 bits unless told otherwise, and ncnn computes in 16 bits where it can",
        "convert with fp16=0, and set opt.use_fp16_* to false",
        handled="the port keeps 32 bits, and is compared in 32 bits",
        source="https://github.com/Tencent/ncnn/tree/master/tools/pnnx",
    ),
    Difference(
        "ncnn-average-rounded-up",
        ("ncnn",),
        ("avg_pool2d",),
        "where ncnn rounds the size of average pooling up it counts what lies beyond the border, as PyTorch"
        " does not",
        "use ceil_mode=False, or pad so that no window passes the border",
        when=_rounds_up,
        source="measured; https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html",
    ),
    Difference(
        "ncnn-one-input",
        ("ncnn",),
        (),
        "ncnn's tensors have no axis of inputs",
        "give it one input at a time",
        handled="the port takes one input",
        source="https://github.com/Tencent/ncnn/wiki/use-ncnn-with-pytorch-or-onnx",
    ),
    Difference(
        "mnn-winograd",
        ("mnn",),
        ("conv2d",),
        "MNN computes convolutions by Winograd's method with large tiles, whose rounding was measured at up"
        " to 8e-4 of a convolution's largest value",
        "set the hint WINOGRAD_MEMORY_LEVEL to 0 in the runtime that runs it, as the comparison does",
        kind="approximated",
        when=_wide_window,
        source="Winograd, Arithmetic complexity of computations (1980); measured",
    ),
    Difference(
        "mnn-several-inputs",
        ("mnn",),
        (),
        "in some networks (a GoogLeNet) MNN was measured to compute the first input of a batch rightly and"
        " the others wrongly, by a quarter of the largest value",
        "give it one input at a time",
        handled="the port takes one input",
        source="measured with MNN 3.6.1",
    ),
    Difference(
        "mnn-installs-packages",
        ("mnn",),
        (),
        "MNN's command mnnconvert installs a package for usage logs when it is first run",
        "call the converter's function",
        handled="the port calls the function",
        source="MNN/tools/utils/log.py",
    ),
    Difference(
        "litert-channels-last",
        ("litert", "litert-micro"),
        (),
        "LiteRT keeps images with the channels last",
        "turn inputs round where you feed it yourself",
        handled="the port takes PyTorch's layout and turns it round inside",
        source="https://ai.google.dev/edge/litert/conversion/pytorch/overview",
    ),
    Difference(
        "litert-32-bit-integers",
        ("litert", "litert-micro", "mnn", "ncnn"),
        (),
        "integer inputs have 32 bits where PyTorch's have 64",
        "give it 32-bit integers",
        handled="the comparison does",
        source="https://github.com/google-ai-edge/litert-torch",
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
    ),
    Difference(
        "litert-micro-average-padding",
        ("litert-micro",),
        ("avg_pool2d",),
        "average pooling with a stride that leaves the padding out of the mean is no operator of the"
        " microcontrollers' runtime",
        "use count_include_pad=True and train on, or pool without padding",
        kind="refused",
        when=_leaves_padding_out,
        source="measured with tflite-micro 0.dev20261023",
    ),
    Difference(
        "litert-micro-clamp-to-one",
        ("litert-micro",),
        ("clamp", "hardtanh"),
        "LiteRT's converter joins a clamp from 0 to 1 into one operator, which the microcontrollers' runtime"
        " lacks",
        "end the clamp at the next number above 1",
        handled="the port does",
        source="measured with tflite-micro 0.dev20261023",
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
    """Every known difference, Caffe's among them."""
    return DIFFERENCES + CAFFE


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


def known_at(program: Program, layer: str, target: str) -> Difference | None:
    """The known difference of a technology at a layer's operator."""
    at = program.layer(layer)
    of_it = (d for d in differences() if target in d.targets and d.operators and d.meets(program, at))
    return next(of_it, None)
