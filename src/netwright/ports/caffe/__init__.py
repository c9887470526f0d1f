"""Caffe: its two files read into PyTorch, written from PyTorch, and run by two referees.

In come a prototxt and a caffemodel, or a program of PyTorch's operators; out go a module that trains on, or
the two files. The formats are read and written here from their field numbers; no Caffe is needed for that.
"""

from netwright.ports.caffe.read import read
from netwright.ports.caffe.run import CaffeNet, OpenCVNet, caffe_interpreter
from netwright.ports.caffe.write import limits, write

__all__ = ["CaffeNet", "OpenCVNet", "caffe_interpreter", "limits", "read", "write"]
