"""What could help: one file an attribute, one function an idea.

In come a recipe and the situation it is in, out go edits of one attribute each. Ideas train nothing and
decide nothing: they propose, the trials race, METHOD decides.
"""
