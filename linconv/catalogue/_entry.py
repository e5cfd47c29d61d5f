"""The base of every entry: a name, a label, and the place of the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, TypeVar

# Metadata of a field that decides no result by itself: it is shown, or a configuration that holds its effect is hashed.
NO_OUTCOME: Mapping[str, bool] = {"outcome": False}
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that the project knows.

    Args:
        name: used in configurations, commands, results and file names.
        label: shown to readers: in tables, figures and titles.
        target: the code behind the entry, "module:attribute". Reading the catalogue does not import it.

    Raises:
        ValueError: `target` does not have that form.
    """

    name: str
    label: str = field(metadata=NO_OUTCOME)
    target: str

    def __post_init__(self) -> None:
        if not _TARGET.fullmatch(self.target):
            raise ValueError(f"{type(self).__name__} '{self.name}': target 'module:attribute' expected: {self.target}")

    @property
    def module(self) -> str:
        """The module that holds the code."""
        return self.target.partition(":")[0]

    def identity(self) -> dict[str, Any]:
        """The fields that decide results made with the entry: a part of their code hash."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("outcome", True)}

    def load(self) -> Any:
        """Import the module and return the class or function behind the entry."""
        return getattr(import_module(self.module), self.target.partition(":")[2])


E = TypeVar("E", bound=Entry)


def by_name(*entries: E) -> dict[str, E]:
    """The entries by name, in the order given, which is the order in which readers see them.

    Raises:
        ValueError: two entries have one name.
    """
    found: dict[str, E] = {}
    for entry in entries:
        if found.setdefault(entry.name, entry) is not entry:
            raise ValueError(f"two entries of the catalogue are named '{entry.name}'")
    return found
