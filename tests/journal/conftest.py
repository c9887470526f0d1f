from collections.abc import Iterator
from pathlib import Path

import pytest

from netwright.journal import Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".netwright"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with Journal.open(folder) as journal:
        yield journal
