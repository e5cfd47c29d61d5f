"""The table of docs/what-works.md says what every tool of PyTorch does with every method."""

import pytest

from linconv.catalogue.methods import METHODS
from linconv.testing.subject import subject_of
from linconv.testing.works import what_works
from tests.scripts import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("docs/what_works.py")


FAST = ("linear", "lowrank", "octconv")  # a method takes seconds: the others are tried every night


@pytest.mark.parametrize("method", [m if m in FAST else pytest.param(m, marks=pytest.mark.slow) for m in METHODS])
def test_the_page_says_of_a_method_what_is_found_now(script, method):
    assert script.stated(method) == what_works(subject_of(method))


def test_a_method_that_differs_from_the_others_is_named(script):
    found = {method: dict.fromkeys(script.TOOLS, "yes") for method in METHODS}
    found["octconv"]["fx"] = "no"
    assert "| fx | yes | yes; `octconv`: no |" in script.table(found)
    assert script.stated("dynamic")["ONNX, any batch"] == "no"
    assert script.stated("ghost")["ONNX, any batch"] == "yes"
