import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install netwright[ports]")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install netwright[ports]")
