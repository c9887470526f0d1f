"""The live page of a training: a process that trains, a server that shows it, and the journal between them.

In comes the name of a recipe, out goes a page in the browser that follows the training and steers it. The two
processes share nothing but the journal and the files beside it: what is killed, on either side, goes on from
what is kept there.
"""
