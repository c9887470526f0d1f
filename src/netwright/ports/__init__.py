"""The same network in another technology, with proof.

Comes in: a network with inputs, or a file of another technology; goes out: files, what of them differs from
the original, where first and why. Knows recipes and runs, nothing of diagnosis, ideas and the journal.
"""
