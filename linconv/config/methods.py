"""The methods that are known: those of the catalogue and those of installed packages.

A package brings a method through the entry point group `linconv.methods`, in its own `pyproject.toml`:
`[project.entry-points."linconv.methods"]`, `mine = "my_package.my_module:MyConv2d"`. The class is a subclass of
`linconv.layers.ConvReplacement`.
"""

from __future__ import annotations

import functools
from importlib import metadata

from linconv.catalogue.methods import METHODS, MethodEntry

GROUP = "linconv.methods"
PLAIN = "conv"  # the plain convolution, which nothing replaces


@functools.cache
def known_methods() -> dict[str, MethodEntry]:
    """Every method, built in or installed, by name.

    Raises:
        ValueError: two packages, or one and this project, use the same name.
    """
    found = dict(METHODS)
    for entry in metadata.entry_points(group=GROUP):
        method = MethodEntry(name=entry.name, label=entry.name, target=entry.value)
        if (other := found.setdefault(entry.name, method)).target != entry.value:
            raise ValueError(
                f"the method '{entry.name}' is both {other.target} and {entry.value}; uninstall or rename one"
            )
    return found


def method_version(name: str) -> str | None:
    """The distribution and version that a method of another package comes from, such as "mine 1.2"; else None."""
    if name in METHODS or name == PLAIN:
        return None
    for entry in metadata.entry_points(group=GROUP, name=name):
        if entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
    return None
