"""No check without a case: every table of cases, in whichever file it stands."""

import importlib
from pathlib import Path

from .cases import CHECKS, OF_LOOPS

TESTS = Path(__file__).parents[1]


def checks_in(name):
    """The checks that some file's table of this name has cases for."""
    found = set()
    for path in sorted([*TESTS.glob("diagnosis/test_checks*.py"), *TESTS.glob("patterns/test_*.py")]):
        table = vars(importlib.import_module(f"{path.parent.name}.{path.stem}")).get(name, {})
        found |= {check for check, named in table.items() if named}
    return found


def test_every_check_has_cases_that_must_fire():
    # One that needs given weights has its cases beside the table.
    assert checks_in("MUST_FIRE") | {"frozen-but-moving"} == set(CHECKS) - OF_LOOPS


def test_every_check_has_near_misses():
    assert checks_in("MUST_NOT") == set(CHECKS) - OF_LOOPS
