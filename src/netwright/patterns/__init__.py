"""Patterns in the data: one file a family of checks, a data cause has its check here and nowhere else.

In comes the evidence of the data, out come findings with raw numbers. This room trains nothing, and reads of
the test part nothing at all.
"""
