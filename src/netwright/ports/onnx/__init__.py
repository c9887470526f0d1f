"""ONNX: `read` makes a model a PyTorch network that trains on, `unsupported` says what stands against it."""

from netwright.ports.onnx.read import read, unsupported

__all__ = ["read", "unsupported"]
