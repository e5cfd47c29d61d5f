"""Every method keeps what a replacement of `nn.Conv2d` promises, with its defaults and with other options."""

import linconv.testing
from linconv.config import VARIANTS
from linconv.config.methods import METHODS
from tests.methods.gathered import rows


@linconv.testing.parametrize(*METHODS, VARIANTS["LRr"], *rows("OPTIONS"))
def test_conformance(check):
    check()
