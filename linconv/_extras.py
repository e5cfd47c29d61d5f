"""Which extra of the package brings what a part of it needs, said where it is missing; and names loaded when used."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

# Names of modules. The layers need torch alone.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "bench": (
        "torchvision",
        "torch_pruning",
        "numpy",
        "pydantic",
        "yaml",
        "pandas",
        "scipy",
        "matplotlib",
        "PIL",
        "simplejpeg",
        "jinja2",
        "markupsafe",
        "sklearn",
        "filelock",
        "rich",
        "typer",
    ),
    "deploy": ("safetensors", "onnx", "onnxscript", "onnxruntime", "openvino"),
    "workflow": ("snakemake",),
}


class NamesTheExtra(MetaPathFinder):
    """Says which extra brings a package that a module of this project imports and that is not installed.

    It is asked last, for what no other finder has found. Imports by other projects are none of its business: they may
    be looking whether a package is there.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        extra = next((extra for extra, modules in EXTRAS.items() if fullname in modules), None)
        asks = _importing_module()
        if extra is not None and asks.partition(".")[0] == "linconv":
            raise ModuleNotFoundError(f"{asks} needs {fullname}: pip install 'linconv[{extra}]'", name=fullname)


def _importing_module() -> str:
    """The name of the module whose code asks for the import in progress."""
    frame = sys._getframe(2)
    while (name := str(frame.f_globals.get("__name__"))).partition(".")[0] in ("importlib", "_frozen_importlib"):
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return name


def announce_extras() -> None:
    """Put `NamesTheExtra` behind the finders that there are, once."""
    if not any(isinstance(finder, NamesTheExtra) for finder in sys.meta_path):
        sys.meta_path.append(NamesTheExtra())


def load_public(package: str, places: Mapping[str, Sequence[str]], name: str, rooms: Sequence[str] = ()) -> Any:
    """A public name of a package, from the module that defines it.

    Args:
        places: the names by the module of the package that defines them.
        rooms: packages inside the package, which are public names as well.

    Raises:
        AttributeError: the package has no such name.
    """
    for module, names in places.items():
        if name in names:
            return getattr(import_module(f"{package}.{module}"), name)
    if name in rooms:
        return import_module(f"{package}.{name}")
    raise AttributeError(f"module '{package}' has no attribute '{name}'")
