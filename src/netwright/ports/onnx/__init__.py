"""ONNX: written from a program with every layer under its own name, read back as a network that trains on."""
