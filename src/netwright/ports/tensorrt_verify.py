# pyright: basic
# (it also runs by itself, on Python 3.8, beside libraries that are not here)
"""Run a network's TensorRT engine on this machine's GPU and print its parity with the original, layer by
layer.

    python verify.py [--full]

Needs an NVIDIA GPU, numpy, torch with CUDA (for memory on the GPU), and TensorRT for RTX (tensorrt_rtx) or
the full TensorRT (tensorrt; chosen with --full, or where the other is not installed). Beside it lie
network.onnx, the engine as it was built, and expected.npz: inputs, and what the original network gives for
them at every layer.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np


def runtime(full=False):
    """TensorRT's module: for RTX, or the full one."""
    if not full:
        try:
            import tensorrt_rtx_bindings
            import tensorrt_rtx_libs  # noqa: F401  (loads the libraries that the bindings need)

            return tensorrt_rtx_bindings
        except ImportError:
            pass
    import importlib

    return importlib.import_module("tensorrt")


def build(trt, onnx, taps=(), most=64):
    """A serialized engine of an ONNX file, that also returns the values named in `taps`; raises ValueError
    with the parser's own words."""
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    flags = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(1 << int(flags) if flags is not None else 0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    if not parser.parse_from_file(str(onnx)):
        raise ValueError("; ".join(parser.get_error(i).desc() for i in range(parser.num_errors)))
    outputs = {network.get_output(i).name for i in range(network.num_outputs)}
    wanted = set(taps) - outputs
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        for position in range(layer.num_outputs):
            tensor = layer.get_output(position)
            if tensor is not None and tensor.name in wanted:
                network.mark_output(tensor)
                wanted.discard(tensor.name)
    config = builder.create_builder_config()
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # 19-bit products would be taken for a difference
    profile = builder.create_optimization_profile()
    free = False
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(tensor.shape)
        if any(axis < 0 for axis in shape):
            free = True
            sizes = [tuple(n if axis < 0 else axis for axis in shape) for n in (1, min(8, most), most)]
            profile.set_shape(tensor.name, *sizes)
    if free:
        config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ValueError("the builder made no engine")
    return bytes(engine)


class Engine:
    """A deserialized engine with its memory on the GPU, through torch."""

    def __init__(self, trt, serialized):
        self.trt = trt
        self.runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self.engine = self.runtime.deserialize_cuda_engine(serialized)
        if self.engine is None:
            raise ValueError("this GPU or this version of TensorRT cannot load the engine; build it here")
        self.context = self.engine.create_execution_context()
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        is_input = {n: self.engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT for n in names}
        self.inputs = [n for n in names if is_input[n]]
        self.outputs = [n for n in names if not is_input[n]]

    def run(self, arrays):
        """The outputs by name for `arrays`, the inputs in order."""
        import torch

        held = []
        for name, array in zip(self.inputs, arrays):  # noqa: B905 - runs on Python 3.8 too
            wanted = self.trt.nptype(self.engine.get_tensor_dtype(name))
            tensor = torch.from_numpy(np.ascontiguousarray(array.astype(wanted))).cuda()
            self.context.set_input_shape(name, tuple(tensor.shape))
            self.context.set_tensor_address(name, tensor.data_ptr())
            held.append(tensor)
        results = {}
        for name in self.outputs:
            kind = self.trt.nptype(self.engine.get_tensor_dtype(name))
            empty = np.empty(tuple(self.context.get_tensor_shape(name)), kind)
            results[name] = torch.from_numpy(empty).cuda()
            self.context.set_tensor_address(name, results[name].data_ptr())
        stream = torch.cuda.current_stream()
        if not self.context.execute_async_v3(stream.cuda_stream):
            raise ValueError("the engine did not run")
        stream.synchronize()
        return {name: tensor.cpu().numpy() for name, tensor in results.items()}


def report(folder, full=False, runs=100):
    """Parity of every layer that can be read and latency of the network, as a dictionary."""
    trt = runtime(full)
    about = json.loads((folder / "about.json").read_text())
    with np.load(folder / "expected.npz", allow_pickle=False) as saved:
        inputs = [saved[f"input/{name}"] for name in about["inputs"]]
        expected = {key[len("layer/") :]: saved[key] for key in saved.files if key.startswith("layer/")}
    serialized = build(trt, folder / "network.onnx", most=about["most"])
    given = Engine(trt, serialized).run(inputs)
    tapped = Engine(trt, build(trt, folder / "network.onnx", list(expected), about["most"])).run(inputs)
    layers = []
    for name in about["layers"]:
        if name in tapped and name in expected:
            error = float(np.abs(tapped[name].astype(np.float64) - expected[name]).max())
            scale = max(float(np.abs(expected[name]).max()), 1e-6)
            layers.append({"layer": name, "relative_error": error / scale})
    answer = about["answer"]
    scale = max(float(np.abs(expected[answer]).max()), 1e-6)
    error = float(np.abs(given[answer].astype(np.float64) - expected[answer]).max()) / scale
    engine, seconds = Engine(trt, serialized), []
    for _ in range(runs + 10):
        began = time.perf_counter()
        engine.run(inputs)
        seconds.append(time.perf_counter() - began)
    first = next((one["layer"] for one in layers if one["relative_error"] > about["tolerance"]), None)
    return {
        "status": "parity" if error <= about["tolerance"] else "differs",
        "relative_error": error,
        "first_divergence": first if error > about["tolerance"] else None,
        "layers": layers,
        "layers_of": len(about["layers"]),
        "latency": {
            "median": float(np.median(seconds[10:])),
            "p95": float(np.quantile(seconds[10:], 0.95)),
            "batch": len(inputs[0]),
        },
        "runtime": f"{trt.__name__} {trt.__version__}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the full TensorRT instead of TensorRT for RTX")
    parser.add_argument("--json", action="store_true", help="one JSON document and nothing else")
    arguments = parser.parse_args()
    found = report(Path(__file__).resolve().parent, arguments.full)
    if arguments.json:
        print(json.dumps(found))
    else:
        for one in found["layers"]:
            print(f"{one['layer']:<40} {one['relative_error']:.1e}")
        latency = found["latency"]
        print(
            f"{found['status']}: largest error {found['relative_error']:.1e} of the output,"
            f" {len(found['layers'])} of {found['layers_of']} layers read,"
            f" {1e3 * latency['median']:.3f} ms for {latency['batch']} inputs"
            f" (p95 {1e3 * latency['p95']:.3f} ms), {found['runtime']}"
        )
        if found["first_divergence"]:
            print(f"first layer that diverges: {found['first_divergence']}")
    return 0 if found["status"] == "parity" else 1


if __name__ == "__main__":
    sys.exit(main())
