"""The package: its public names, and what importing it must not do."""

import subprocess
import sys

import pytest

import linconv


@pytest.mark.parametrize("name", linconv.__all__)
def test_public_names_resolve_and_are_documented(name):
    assert (getattr(linconv, name).__doc__ or "").strip()
    assert name in dir(linconv)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'LinearConv'"):
        _ = linconv.LinearConv


@pytest.mark.parametrize(
    "module", ["linconv", "linconv.config", "linconv.results.collect", "linconv.report", "linconv.cli"]
)
def test_modules_that_must_not_import_torch(module):
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
