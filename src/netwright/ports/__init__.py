"""The same network in another technology: written, read back and compared.

In come networks of PyTorch and files of other technologies; out go files and networks.
"""
