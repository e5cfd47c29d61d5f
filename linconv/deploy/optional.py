"""Packages that only some functions need: imported when such a function is called, one plain line where missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from linconv.config.errors import UserError


class MissingPackageError(UserError, ImportError):
    """A package that an optional part of linconv needs is not installed."""


def needed(module: str, purpose: str) -> Any:
    """A module of an optional package.

    Args:
        module: its full name, such as "safetensors.torch".
        purpose: what it is for; the beginning of the message where it is missing.

    Raises:
        MissingPackageError: the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingPackageError(
            f"{purpose} needs the package '{package}': pip install 'linconv[deploy]' ({error})"
        ) from None
