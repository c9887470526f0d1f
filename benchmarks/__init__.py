"""Measurements as ratios against a peer or a plain loop in one run; dated results are in
`benchmarks/results.md`."""
