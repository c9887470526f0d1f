from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from netwright.catalogue import Catalogue
from netwright.ports import Original, Program, Settings, port
from netwright.ports.devices import budgeted, measured_int8
from netwright.values import DeviceBudget, Latency, TargetEnded, TargetPort, UserError
from ports.networks import images, needs, reads_digits, small

TARGETS = Catalogue.collect().targets
ONNX = needs("onnx", "onnxscript", "onnxruntime")


@pytest.mark.parametrize(
    ("text", "size", "seconds"),
    [
        ("2MB,50ms", 2_000_000, 0.05),
        ("50 ms, 2 MB", 2_000_000, 0.05),
        ("512kiB", 524_288, None),
        ("1.5s", None, 1.5),
        ("250us", None, 0.00025),
        ("20000B", 20_000, None),
    ],
)
def test_a_budget_is_a_size_a_time_or_both(text, size, seconds):
    assert DeviceBudget.parse(text) == DeviceBudget(size, seconds)


@pytest.mark.parametrize("text", ["", "2", "2MB,", "fast", "-2MB", "0MB", "2MB,3MB", "5ms,6ms", "2 parsecs"])
def test_what_is_no_budget_is_refused_in_one_sentence(text):
    with pytest.raises(UserError, match=r"is not a size or a time.*say '2MB,50ms'") as raised:
        DeviceBudget.parse(text)
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def program() -> Program:
    return Program.of(reads_digits(), (torch.zeros(2, 64),))


def found(size: int, p95: float | None = 0.01, precision: str = "float32") -> TargetPort:
    timed = () if p95 is None else (Latency(p95 / 2, p95, 1, 1, 50), Latency(1.0, 1.0, 8, 1, 50))
    return TargetPort("t", "T", "parity", precision=precision, size=size, latencies=timed)


def test_a_port_within_both_limits_fits_and_nothing_is_to_be_done(program):
    verdict = budgeted(found(16_000), DeviceBudget.parse("16kB,10ms"), program)
    assert verdict.fits and verdict.size_fits and verdict.time_fits
    assert (verdict.trim, verdict.work, verdict.int8, verdict.heaviest) == (None, None, None, ())


def test_the_time_is_the_95th_percentile_of_one_input(program):
    verdict = budgeted(found(16_000, 0.02), DeviceBudget.parse("5ms"), program)
    assert (verdict.fits, verdict.batch, verdict.p95) == (False, 1, 0.02)
    assert verdict.work == pytest.approx(0.75)
    assert verdict.size_fits is None and verdict.trim is None


def test_what_must_go_is_the_share_of_parameters_that_is_too_much(program):
    weights = sum(program.weights().values())
    assert weights == 4 * (64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10)
    verdict = budgeted(found(weights + 1000), DeviceBudget(weights // 2 + 1000), program)
    assert verdict.trim == pytest.approx(0.5)
    assert [heavy.layer for heavy in verdict.heaviest] == ["0", "2", "4"]
    assert verdict.heaviest[0].bytes == 4 * (64 * 32 + 32)
    assert sum(heavy.share for heavy in verdict.heaviest) == pytest.approx(1)


def test_a_file_that_is_too_large_without_any_parameter_needs_more_than_all_to_go(program):
    assert budgeted(found(100_000), DeviceBudget(10_000), program).trim > 1


def test_where_int8_is_not_made_a_quarter_of_the_weights_bytes_is_said_to_be_computed(program):
    weights = sum(program.weights().values())
    int8 = budgeted(found(weights + 1000), DeviceBudget(weights // 2), program).int8
    assert (int8.measured, int8.fits, int8.trim) == (False, True, None)
    assert int8.size == pytest.approx(weights / 4 + 1000, abs=1)


def test_whether_int8_would_be_fast_enough_is_not_made_up(program):
    int8 = budgeted(found(16_000, 0.02), DeviceBudget.parse("1MB,5ms"), program).int8
    assert int8.fits is None and int8.p95 is None


def test_what_int8_has_still_too_much_is_a_share_of_its_own_bytes(program):
    weights = sum(program.weights().values())
    quantised = found(weights // 4 + 1000, precision="int8")
    int8 = measured_int8(quantised, DeviceBudget(weights // 8 + 1000), program)
    assert (int8.measured, int8.fits) == (True, False)
    assert int8.trim == pytest.approx(0.5)


def test_a_limit_that_cannot_be_checked_leaves_the_verdict_open(program):
    assert budgeted(found(1000, None), DeviceBudget.parse("2kB,5ms"), program).fits is None
    assert budgeted(found(3000, None), DeviceBudget.parse("2kB,5ms"), program).fits is False


def test_weights_are_those_of_the_layer_that_uses_them_and_shared_ones_count_once():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
            self.two.weight = self.one.weight
            self.memory = nn.LSTM(8, 4, batch_first=True)

        def forward(self, x):
            return self.memory(self.two(self.one(x)))[0]

    weights = Program.of(Tied(), (torch.zeros(2, 3, 8),)).weights()
    assert weights["one"] == 4 * (64 + 8) and weights["two"] == 4 * 8
    assert weights["memory"] == 4 * (4 * 4 * 8 + 4 * 4 * 4 + 2 * 4 * 4)


def ported(id: str, folder: Path, **settings) -> TargetPort:
    source = Original("small", small(), (images(32),), decide=lambda answers: answers.argmax(1))
    settings = Settings(**{"runs": 3, **settings})
    events = port(source, [TARGETS[id]], folder, settings, time.perf_counter, TARGETS["onnx"])
    return next(event.port for event in events if isinstance(event, TargetEnded))


@ONNX
def test_a_port_that_does_not_fit_is_quantised_to_say_what_that_makes_of_it(tmp_path):
    verdict = ported("onnx", tmp_path, budget=DeviceBudget(size=4_000)).budget
    assert verdict.fits is False and verdict.int8.measured
    assert verdict.int8.size == (tmp_path / "onnx" / "network.int8.onnx").stat().st_size
    assert verdict.int8.p95 > 0 and verdict.int8.decision_changes is not None


@ONNX
def test_a_port_that_fits_is_not_quantised(tmp_path):
    made = ported("onnx", tmp_path, budget=DeviceBudget(size=1_000_000, seconds=60.0))
    assert made.budget.fits and not (tmp_path / "onnx" / "network.int8.onnx").exists()


def test_a_budget_of_time_is_held_against_one_input_whatever_batches_are_timed(tmp_path):
    made = ported("torchscript", tmp_path, budget=DeviceBudget(seconds=60.0), batches=(8,))
    assert [latency.batch for latency in made.latencies] == [8, 1]
    assert (made.budget.batch, made.budget.fits) == (1, True)
    assert made.latency.batch == 8


def test_batches_larger_than_the_inputs_are_timed_by_repeating_them(tmp_path):
    made = ported("torchscript", tmp_path, batches=(1, 48))
    assert [latency.batch for latency in made.latencies] == [1, 48]


@needs("ncnn", "pnnx")
def test_a_technology_that_takes_one_input_at_a_time_says_so(tmp_path):
    made = ported("ncnn", tmp_path, batches=(1, 8))
    assert [latency.batch for latency in made.latencies] == [1]
    assert "it takes 1 at a time, so it is not timed at batch 8" in made.notes


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what is held")
def test_peak_memory_grows_by_what_the_network_weighs(tmp_path):
    def peak(width: int) -> int:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        events = port(
            Original("wide", network, (torch.zeros(4, 64),)), [TARGETS["torchscript"]], tmp_path,
            Settings(runs=1), time.perf_counter,
        )  # fmt: skip
        return next(event.port.peak_memory for event in events if isinstance(event, TargetEnded))

    wide = 200_000
    assert peak(wide) - peak(32) > 0.7 * 4 * 74 * wide
