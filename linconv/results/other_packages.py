"""Where the modules of other packages lie, and which belong together. Nothing is imported."""

from __future__ import annotations

import functools
import importlib.util
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from pathlib import Path


def find(module: str) -> ModuleSpec | None:
    """Where a module at the top lies; it is not imported."""
    try:
        return importlib.util.find_spec(module)
    except ValueError:  # a module without a place, such as `__main__`
        return None


def all_files(spec: ModuleSpec) -> dict[str, Path]:
    """The file of a module, or those of all modules of a package, by their places below the folder that it lies in."""
    places = [Path(place) for place in spec.submodule_search_locations or ()]  # several of a package without __init__
    if not places:
        return {Path(spec.origin).name: Path(spec.origin)} if spec.has_location and spec.origin else {}
    return {path.relative_to(place.parent).as_posix(): path for place in places for path in place.rglob("*.py")}


def belong_together(own: str, other: str) -> bool:
    """Whether two modules are of one distribution, or of one folder and the other of no distribution at all."""
    known = _distributions()
    if other in known:
        return not known[other].isdisjoint(known.get(own, ()))
    return _folder(own) == _folder(other)


@functools.cache
def _distributions() -> dict[str, set[str]]:
    return {module: set(names) for module, names in packages_distributions().items()}


def _folder(module: str) -> Path | None:
    """The folder that a module at the top lies in; None where that is not one."""
    spec = find(module)
    if spec is None or spec.submodule_search_locations is None:
        return Path(spec.origin).parent if spec is not None and spec.has_location and spec.origin else None
    return next((Path(place).parent for place in spec.submodule_search_locations), None)
