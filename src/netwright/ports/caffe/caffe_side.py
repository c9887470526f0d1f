"""The side of real Caffe: runs in an interpreter that has `caffe`, and knows nothing of Netwright.

Reads a JSON request a line and answers with one a line; arrays travel in `.npz` files, without pickle.
Written for Python 3.8, which is what builds of Caffe come with.

    {"prototxt": PATH, "caffemodel": PATH or null}            -> {"blobs": [NAME, ...]}
    {"inputs": {NAME: KEY}, "taps": [NAME, ...], "from": NPZ, "to": NPZ} -> {"done": true}
    {"again": COUNT}                  -> {"seconds": [SECONDS, ...]}, of the inputs that it was given last
"""

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "2")
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what Caffe prints is no answer

import caffe  # noqa: E402  # pyright: ignore[reportMissingImports]
import numpy as np  # noqa: E402


def load(request: Any) -> Any:
    arguments = [request["prototxt"]] + ([request["caffemodel"]] if request["caffemodel"] else [])
    net = caffe.Net(*arguments, caffe.TEST)
    return net, {"blobs": list(net.blobs)}


def run(net: Any, request: Any) -> Any:
    with np.load(request["from"], allow_pickle=False) as given:
        arrays = {name: given[key] for name, key in request["inputs"].items()}
    for name, array in arrays.items():
        net.blobs[name].reshape(*array.shape)
    net.reshape()
    for name, array in arrays.items():
        net.blobs[name].data[...] = array
    net.forward()
    found = {"a" + str(index): net.blobs[name].data for index, name in enumerate(request["taps"])}
    np.savez(request["to"], **found)
    return {"done": True}


def again(net: Any, request: Any) -> Any:
    seconds = []
    for _ in range(request["again"]):
        began = time.perf_counter()
        net.forward()
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds}


def main() -> None:
    net = None
    for line in sys.stdin:
        request = json.loads(line)
        if "prototxt" in request:
            net, answer = load(request)
        elif "again" in request:
            answer = again(net, request)
        else:
            answer = run(net, request)
        ANSWERS.write(json.dumps(answer) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    main()
