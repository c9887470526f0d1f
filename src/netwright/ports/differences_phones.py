"""The known differences of the runtimes for phones and microcontrollers: ncnn, MNN and LiteRT."""

from __future__ import annotations

from typing import Any

from netwright.ports.difference import Difference
from netwright.ports.program import Layer, Program


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


PHONES: tuple[Difference, ...] = (
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
        handled="the port pads by itself and divides by what each window counts",
        when=_rounds_up,
        source="measured; https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html",
        rewrites=("average-pooling-by-count",),
    ),
    Difference(
        "ncnn-softsign",
        ("ncnn",),
        ("div",),
        "pnnx takes x / (1 + |x|) for a layer that ncnn does not have",
        "write x * torch.reciprocal(1 + x.abs())",
        handled="the port does",
        kind="rewritten",
        source="measured with pnnx 20260526",
        rewrites=("softsign-by-reciprocal",),
    ),
    Difference(
        "ncnn-parts",
        ("ncnn",),
        ("unbind", "select"),
        "ncnn has no axis to part queries, keys and values along once that of the inputs is not the first",
        "part the last axis first, and give each part its heads",
        handled="the port does",
        kind="rewritten",
        source="measured with pnnx 20260526",
        rewrites=("parts-before-shaping",),
    ),
    Difference(
        "ncnn-comparisons",
        ("ncnn",),
        ("to",),
        "ncnn compares no whole numbers",
        "look up in a table what the comparison says of every token",
        handled="the port does, where the tokens are those of an embedding",
        kind="rewritten",
        source="measured with pnnx 20260526",
        rewrites=("comparison-by-lookup",),
    ),
    Difference(
        "ncnn-last-state",
        ("ncnn",),
        ("select", "squeeze"),
        "pnnx mistakes the states of a recurrent layer that ncnn gives for its output, or cannot part them",
        "take the last place of the output",
        handled="the port does, for the last layer's",
        kind="rewritten",
        source="measured with pnnx 20260526",
        rewrites=("last-state-from-output",),
    ),
    Difference(
        "ncnn-recurrent-modules",
        ("ncnn",),
        ("lstm", "gru"),
        "pnnx knows recurrent layers as modules and not as operators",
        "convert a network that has nn.LSTM and nn.GRU as modules",
        handled="the port makes modules of them",
        source="https://github.com/Tencent/ncnn/tree/master/tools/pnnx",
    ),
    Difference(
        "circular-padding",
        ("ncnn", "mnn", "litert-micro"),
        ("pad",),
        "circular padding is none of these converters': ncnn's pads with zeros, the others take none",
        "join the ends of each axis by torch.cat",
        handled="the port does",
        kind="rewritten",
        source="measured",
        rewrites=("circular-padding-by-joining",),
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
        "mnn-lstm",
        ("mnn",),
        ("lstm",),
        "MNN's runtime dies of an LSTM that comes from ONNX",
        "use a GRU, or write the steps out",
        handled="the port writes the steps out, up to 256 in all layers",
        kind="rewritten",
        source="measured with MNN 3.6.1",
        rewrites=("lstm-step-by-step",),
    ),
    Difference(
        "mnn-mish",
        ("mnn",),
        ("mish",),
        "MNN's converter writes no file for mish as ONNX has it",
        "compute it by an exponential and a division",
        handled="the port does",
        kind="rewritten",
        source="measured with MNN 3.6.1",
        rewrites=("mish-by-exponential",),
    ),
    Difference(
        "mnn-gelu",
        ("mnn",),
        ("gelu",),
        "MNN approximates the error function in GELU: errors of 1e-4 were measured after three of them",
        "compute it by an exponential and a polynomial",
        handled="the port does",
        kind="rewritten",
        source="measured with MNN 3.6.1; Abramowitz and Stegun (1964), 7.1.26",
        rewrites=("gelu-by-exponential",),
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
        "litert-transposed-convolution",
        ("litert", "litert-micro"),
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        "LiteRT's converter takes no transposed convolution with padding, output padding, groups or dilation",
        "leave the padding out and crop what comes of it",
        handled="the port does",
        kind="rewritten",
        source="measured with litert-torch 0.10",
        rewrites=("transposed-convolution-cropped",),
    ),
    Difference(
        "litert-micro-activations",
        ("litert-micro",),
        ("gelu", "elu", "selu", "celu", "softplus", "log_sigmoid", "mish"),
        "the microcontrollers' runtime has no GELU, and none of the selections that ELU, softplus and mish"
        " are converted to",
        "compute them by exponentials and divisions",
        handled="the port does",
        kind="rewritten",
        source="measured with tflite-micro 0.dev20261023",
        rewrites=(
            "gelu-by-exponential",
            "elu-by-exponential",
            "softplus-by-exponential",
            "mish-by-exponential",
        ),
    ),
    Difference(
        "litert-micro-ten-at-a-time",
        ("litert-micro",),
        ("cat", "lstm", "gru"),
        "the microcontrollers' runtime joins no more than ten tensors, and a recurrent layer joins its steps",
        "join portions, and add them among zeros",
        handled="the port does",
        kind="rewritten",
        source="measured with tflite-micro 0.dev20261023",
        rewrites=("concatenation-in-portions", "lstm-step-by-step", "gru-step-by-step"),
    ),
    Difference(
        "litert-micro-average-padding",
        ("litert-micro",),
        ("avg_pool2d",),
        "average pooling with a stride that leaves the padding out of the mean is no operator of the"
        " microcontrollers' runtime",
        "use count_include_pad=True and train on, or pool without padding",
        handled="the port pads by itself and divides by what each window counts",
        kind="rewritten",
        when=_leaves_padding_out,
        source="measured with tflite-micro 0.dev20261023",
        rewrites=("average-pooling-by-count",),
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
)
