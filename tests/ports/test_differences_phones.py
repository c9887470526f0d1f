"""What ncnn, MNN and LiteRT are known to do differently, each shown by a test of its name."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from benchmarks.ports.zoo import ZOO
from torch import nn

from netwright.ports import Original, Program, Settings, port
from netwright.ports.differences import PHONES, known_at, met_by
from netwright.ports.litert_micro import MicroInterpreter
from netwright.ports.running import Source, Unsupported
from netwright.values import TargetEnded
from ports.making import TARGETS, error, made, not_shown, refused, same, traced
from ports.networks import images, needs, small

pytestmark = pytest.mark.filterwarnings("ignore")  # converters warn of their own doings


def test_every_difference_is_shown_by_a_test_of_its_name():
    assert not_shown(PHONES, globals()) == set()


@needs("ncnn", "pnnx")
def test_ncnn_half_weights_differ_and_the_ports_do_not(tmp_path):
    import subprocess

    import pnnx

    from netwright.ports.ncnn import Net

    network, x = small(), images()
    running, program = made("ncnn", network, x, tmp_path)
    assert error(running.run([x[:1].numpy()], [])[0][0], network(x[:1])) < 1e-5
    torch.jit.save(traced(network, x[:1]), str(tmp_path / "half.pt"))
    command = [pnnx.EXEC_PATH, "half.pt", "inputshape=[1,1,8,8]f32"]  # as pnnx does unless told otherwise
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    half = Net((tmp_path / "half.ncnn.param", tmp_path / "half.ncnn.bin"), program.about())
    assert error(half.run([x[:1].numpy()], [])[0][0], network(x[:1])) > 1e-4


@needs("ncnn", "pnnx")
@pytest.mark.parametrize(("rounds_up", "differs"), [(True, True), (False, False)])
def test_ncnn_average_rounded_up_counts_what_lies_beyond_the_border(rounds_up, differs, tmp_path):
    network, x = nn.Sequential(nn.AvgPool2d(3, 2, ceil_mode=rounds_up)), torch.rand(2, 3, 8, 8)
    running, program = made("ncnn", network, x, tmp_path)
    assert (error(running.run([x[:1].numpy()], [])[0][0], network(x[:1])) > 0.1) == differs
    known = known_at(program, "0", "ncnn")
    assert (known.id if known is not None else None) == ("ncnn-average-rounded-up" if differs else None)


@needs("ncnn", "pnnx")
def test_ncnn_one_input_of_a_batch_is_computed(tmp_path):
    running, _ = made("ncnn", small(), images(), tmp_path)
    assert running.run([images().numpy()], [])[0][0].shape == (1, 10)


@needs("MNN", "onnx", "onnxscript")
def test_mnn_winograd_leaves_larger_errors_than_the_hint_allows(tmp_path):
    import MNN.expr as expressions
    import MNN.nn as modules

    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Conv2d(3, 24, 5, padding=2)), torch.randn(1, 3, 32, 32)
    running, program = made("mnn", network, x, tmp_path)
    ours = error(running.run([x.numpy()], [])[0][0], network(x))
    plain = modules.load_module_from_file(str(tmp_path / "network.mnn"), list(program.inputs), ["0"])
    given = expressions.const(x.numpy(), list(x.shape), expressions.NCHW, expressions.float)
    read = np.array(expressions.convert(plain.forward([given])[0], expressions.NCHW).read())
    assert ours < 1e-6 < 20 * ours < error(read, network(x))
    assert [limit.difference for limit in met_by(program, "mnn")] == ["mnn-winograd"]


@needs("MNN", "onnx", "onnxscript")
def test_mnn_several_inputs_are_wrong_after_the_first_and_are_given_one_at_a_time(tmp_path):
    network, (x,) = ZOO["googlenet"]()[:2]
    target = TARGETS["mnn"]
    program = Program.of(network, (x,))
    onnx = TARGETS["onnx"].function(Source(program, tmp_path))
    files = target.function(Source(program, tmp_path, onnx)), *()
    given = target.open(files, program.about()).run([x.numpy()], [])[0][0]
    wrong = np.abs(given - network(x).detach().numpy()).max(1)
    assert wrong[0] < 1e-5 and (wrong[1:] > 1e-2).all()
    assert target.batch == "one"


@needs("MNN")
def test_mnn_installs_packages_by_its_command_and_the_port_does_not_call_it():
    from netwright.ports import mnn

    log = importlib.util.find_spec("MNN.tools.utils.log")
    assert log is not None and "pip" in Path(str(log.origin)).read_text()
    assert "MNN.tools" not in Path(mnn.__file__).read_text()
    assert "MNN.tools.utils.log" not in sys.modules


@needs("litert_torch", "ai_edge_litert")
def test_litert_channels_last_inside_and_first_outside(tmp_path):
    running, _ = made("litert", small(), images(), tmp_path)
    shapes = {tuple(int(n) for n in d["shape"]) for d in running._native.get_tensor_details()}
    assert (1, 6, 6, 6) in shapes or (1, 3, 3, 6) in shapes
    _, read = running.run([images(1).numpy()], ["pool"])
    assert read["pool"].shape == (1, 6, 3, 3)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 4), nn.Linear(4, 2)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(words).mean(1))


@needs("litert_torch", "ai_edge_litert")
def test_litert_32_bit_integers_are_what_an_integer_input_takes(tmp_path):
    words = torch.randint(0, 20, (2, 5))
    running, _ = made("litert", Words(), words, tmp_path)
    assert [kind for _, kind in running._signature[0]] == [np.int32]
    assert running.run([words[:1].numpy()], [])[0][0].shape == (1, 2)


@needs("litert_torch", "ai_edge_litert", "tflite_micro")
def test_litert_micro_average_padding_left_out_is_refused_unless_it_is_rewritten(tmp_path):
    network, x = nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False)), torch.rand(2, 3, 6, 6)
    refused("litert-micro", network, x, tmp_path, "STABLEHLO_REDUCE_WINDOW")
    known = known_at(Program.of(network, (x,)), "0", "litert-micro")
    assert known is not None and known.id == "litert-micro-average-padding"
    same("litert-micro", network, x, tmp_path)


@needs("litert_torch", "ai_edge_litert", "tflite_micro")
def test_litert_micro_activations_are_refused_unless_they_are_rewritten(tmp_path):
    x = 3 * torch.randn(2, 4, 5)
    refused("litert-micro", nn.Sequential(nn.GELU()), x, tmp_path, "GELU")
    refused("litert-micro", nn.Sequential(nn.Softplus()), x, tmp_path, "SELECT")
    every = (nn.GELU(), nn.GELU("tanh"), nn.ELU(), nn.SELU(), nn.CELU(0.5), nn.Softplus(), nn.Mish())
    same("litert-micro", nn.Sequential(*every, nn.LogSigmoid()), x, tmp_path)


class Joined(nn.Module):
    """The steps of a sequence, each scaled by itself, joined again."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, n : n + 1] * (n + 1) for n in range(x.shape[1])], 1)


@needs("litert_torch", "ai_edge_litert", "tflite_micro")
def test_litert_micro_ten_at_a_time_are_joined_unless_it_is_rewritten(tmp_path):
    x = torch.randn(2, 12, 3)
    refused("litert-micro", Joined(), x, tmp_path, "CONCATENATION")
    same("litert-micro", Joined(), x, tmp_path)
    torch.manual_seed(0)
    same("litert-micro", Last(nn.GRU(3, 4, batch_first=True)), x, tmp_path)


class Last(nn.Module):
    """What a recurrent layer gives."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]


@needs("litert_torch", "ai_edge_litert")
def test_litert_transposed_convolution_is_refused_unless_it_is_rewritten(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5, 5)
    network = nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, groups=2, dilation=2))
    refused("litert", nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2, 1)), x, tmp_path, "convolution")
    same("litert", network, x, tmp_path)


@needs("ncnn", "pnnx")
def test_ncnn_softsign_is_refused_unless_it_is_rewritten(tmp_path):
    network, x = nn.Sequential(nn.Softsign()), torch.randn(2, 3, 5)
    refused("ncnn", network, x, tmp_path, "softsign")
    same("ncnn", network, x, tmp_path)


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(len(x), x.shape[1], 3, 2, 4).permute(2, 0, 3, 1, 4)
        return (q @ k.transpose(-2, -1)).softmax(-1) @ v


@needs("ncnn", "pnnx")
def test_ncnn_parts_of_attention_are_refused_unless_it_is_rewritten(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(2, 6, 8)
    refused("ncnn", Heads(), x, tmp_path, "unbind")
    same("ncnn", Heads(), x, tmp_path)


class Present(nn.Module):
    """The mean of what is looked up, zeros left out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        there = (x != 0).float().unsqueeze(-1)
        return (self.words(x) * there).sum(1) / there.sum(1).clamp(min=1)


@needs("ncnn", "pnnx")
def test_circular_padding_is_zeros_unless_it_is_rewritten(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"))
    x = torch.randn(2, 3, 6, 6)
    running, _ = made("ncnn", network, x, tmp_path)
    assert error(running.run([x[:1].numpy()], [])[0][0], network(x[:1])) > 0.1
    same("ncnn", network, x, tmp_path)


@needs("ncnn", "pnnx")
def test_ncnn_comparisons_are_refused_unless_they_are_rewritten(tmp_path):
    torch.manual_seed(0)
    x = torch.tensor([[3, 0, 7, 0, 19]])
    network = Present()
    refused("ncnn", network, x, tmp_path, "torch.ne")
    same("ncnn", network, x, tmp_path)


class LastState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[1][0][-1]


@needs("ncnn", "pnnx")
def test_ncnn_last_state_is_mistaken_unless_it_is_rewritten(tmp_path):
    torch.manual_seed(0)
    network, x = LastState(), torch.randn(2, 7, 3)
    running, _ = made("ncnn", network, x, tmp_path)
    given = running.run([x[:1].numpy()], [])[0][0]
    assert given.shape != (1, 4) or error(given, network(x[:1])) > 0.1
    same("ncnn", network, x, tmp_path)


@needs("ncnn", "pnnx")
def test_ncnn_recurrent_modules_are_what_the_port_makes_of_operators(tmp_path):
    torch.manual_seed(0)
    same("ncnn", Last(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)), torch.randn(2, 7, 3), tmp_path)
    layers = [line.split()[0] for line in (tmp_path / "network.ncnn.param").read_text().splitlines()[2:]]
    assert layers.count("LSTM") == 2


@needs("MNN", "onnx", "onnxscript")
def test_mnn_lstm_ends_its_process_unless_it_is_rewritten(tmp_path):
    torch.manual_seed(0)
    network, x = Last(nn.LSTM(3, 4, batch_first=True)).eval(), torch.randn(2, 7, 3)
    as_it_is = attrs.evolve(TARGETS["mnn"], rewrites=())
    settings = Settings(runs=0)
    events = port(
        Original("lstm", network, (x,)), [as_it_is], tmp_path, settings, time.perf_counter, TARGETS["onnx"]
    )
    found = next(event.port for event in events if isinstance(event, TargetEnded))
    assert found.status == "unsupported" and "signal" in found.reason
    same("mnn", network, x, tmp_path)


@needs("MNN", "onnx", "onnxscript")
def test_mnn_mish_is_refused_unless_it_is_rewritten(tmp_path):
    network, x = nn.Sequential(nn.Mish()), 5 * torch.randn(2, 3, 5)
    refused("mnn", network, x, tmp_path, "wrote no file")
    same("mnn", network, x, tmp_path)


@needs("MNN", "onnx", "onnxscript")
def test_mnn_gelu_is_approximated_unless_it_is_rewritten(tmp_path):
    network, x = nn.Sequential(nn.GELU()), torch.linspace(-4, 4, 801)[None]
    running, _ = made("mnn", network, x, tmp_path)
    plain = error(running.run([x.numpy()], [])[0][0], network(x))
    running, _ = made("mnn", network, x, tmp_path, rewrites=True)
    assert error(running.run([x.numpy()], [])[0][0], network(x)) < 1e-6 < 1e-5 < plain


@needs("litert_torch", "ai_edge_litert", "tflite_micro")
def test_litert_micro_clamp_to_one_is_taken_as_the_port_makes_it(tmp_path):
    class Clamped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.clamp(2 * x, 0, 1)

    x = torch.rand(2, 3)
    with pytest.raises(Unsupported, match="no operator RELU_0_TO_1"):
        made("litert", Clamped(), x, tmp_path)
        MicroInterpreter((tmp_path / "network.tflite",), Program.of(Clamped(), (x,)))
    running, _ = made("litert-micro", Clamped(), x, tmp_path)
    assert error(running.run([x[:1].numpy()], [])[0][0], Clamped()(x[:1])) < 1e-6
