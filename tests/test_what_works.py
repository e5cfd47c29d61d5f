"""The table of docs/what-works.md says what every tool of PyTorch does with every method."""

import pytest

from linconv.catalogue.methods import METHODS
from tests.scripts import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("docs/what_works.py")


FAST = ("linear", "lowrank", "octconv")  # a row takes seconds: the others are made every night


@pytest.mark.parametrize("method", [m if m in FAST else pytest.param(m, marks=pytest.mark.slow) for m in METHODS])
def test_the_row_of_a_method_is_what_is_found_now(script, method):
    assert script.row(method) in script.PAGE.read_text().splitlines()


def test_the_page_has_a_row_for_every_method_and_a_column_for_every_tool(script):
    lines = script.PAGE.read_text().split(script.START)[1].split(script.END)[0].splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == list(METHODS)
    assert lines[0].split(" | ")[1:] == [*list(script.TOOLS)[:-1], f"{list(script.TOOLS)[-1]} |"]
