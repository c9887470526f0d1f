"""Recipes that are healthy and recipes with planted faults, on real data, to measure what a diagnosis finds.

`README.md` says how it is run and how a fault is added.
"""
