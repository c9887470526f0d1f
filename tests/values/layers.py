"""Lines of a listing, made by hand."""

from netwright.values import LayerLine


def line(name, kind="Linear", parent=None, **changes):
    """A layer of 4 to 4 values; a function where the name is empty."""
    behaviour = {"zeros": None, "dead": None, "gradient": 0.1, **changes.pop("behaviour", {})}
    given = {
        "depth": name.count("."), "input_shape": (4,), "output_shape": (4,), "parameters": 20 if name else 0,
        "flops": 32, "trainable": True if name else None, "file": None, "line": None, "behaviour": behaviour,
        "parent": name.rpartition(".")[0] if parent is None else parent, "bytes": 16,
        "seconds": 1e-5, "state": 80,
    }  # fmt: skip
    return LayerLine(name, kind, **{**given, **changes})
