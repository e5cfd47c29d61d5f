"""What the test file of a method states for the tests that all methods share.

`tests/methods/test_<method>.py` may define

* `OPTIONS`: options, beside the defaults, with which the conformance kit checks the method too,
* `REFUSED`: (convolution, options, reason) of what the method refuses,
* `bias_additions(c, n, pixels)`: additions of biases that ptflops counts in a layer of c inputs and n filters, where
  they are not one for each value of the output.
"""

from importlib import import_module
from typing import Any

from linconv.catalogue.methods import METHODS


def stated(method: str, name: str, default: Any) -> Any:
    """What the test file of a method defines under a name."""
    return getattr(import_module(f"tests.methods.test_{method}"), name, default)


def rows(name: str) -> list[tuple[Any, ...]]:
    """(method, ...) of every row of a list that the test files define."""
    found = ((method, row) for method in METHODS for row in stated(method, name, ()))
    return [(method, *row) if isinstance(row, tuple) else (method, row) for method, row in found]
