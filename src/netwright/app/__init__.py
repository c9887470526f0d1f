"""Where everything meets: the verbs, the command line, the files that they leave.

In come users' words, out go results. A verb hands the rooms their clock, journal, device and seeds, folds
their events and returns a value; nothing here computes what a room could.
"""
