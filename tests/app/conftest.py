"""The command as a user runs it."""

from collections import namedtuple

import pytest

from netwright.app.cli import main

Answer = namedtuple("Answer", "code out err")


@pytest.fixture
def run(capfd, monkeypatch):
    """The command in this process: exit code, standard output, standard error."""

    def runs(*arguments):
        monkeypatch.setattr("sys.argv", ["netwright", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Answer(ended.value.code or 0, *capfd.readouterr())

    return runs
