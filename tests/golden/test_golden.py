"""Every golden case: this project gives what the authors' code gave, to rounding or to the stated deviation."""

import pytest

from tests.golden import read_cases, sources
from tests.golden.compare import COMPUTE, differences

CASES = list(read_cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equal_to_the_source(case):
    found = differences(case)
    assert found.keys() == case.expected.keys()
    worst = max(found, key=found.get)
    assert found[worst] <= case.tolerance, f"{worst} differs by {found[worst]:.1e}"


def test_every_file_says_where_its_numbers_come_from():
    assert sources().keys() == COMPUTE.keys()
    for name, described in sources().items():
        assert all(len(text) >= 5 for text in described.values()), name
    for case in CASES:
        assert (case.tolerance > 1e-10) == bool(case.deviation), f"{case}: a larger tolerance needs its reason"
