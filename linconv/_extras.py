"""Which extra of the package brings what a part of it needs, said where it is missing; and names loaded when used."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from types import FrameType, ModuleType
from typing import Any

# Names of modules; some extras share one. The layers need torch alone.
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
    "deploy": ("safetensors", "onnx", "onnxscript", "onnxruntime", "openvino", "numpy", "pydantic"),
    "workflow": ("snakemake",),
}
DEPLOYING = ("deploy", "measure", "models", "config")  # rooms of which the extra `deploy` brings what users call


class NamesTheExtra(MetaPathFinder):
    """Says which extra brings a package that a module of this project imports and that is not installed.

    It is asked last, for what no other finder has found. Imports by other projects are none of its business: they may
    be looking whether a package is there.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        extras = [extra for extra, modules in EXTRAS.items() if fullname in modules]
        asking = _importing_modules()
        if extras and asking and asking[0].partition(".")[0] == "linconv":
            rooms = [name.split(".")[1] for name in asking if name.startswith("linconv.")]
            # where two extras bring it, the room that was asked for first decides: plans and files need no benchmark
            asked = next((room for room in reversed(rooms) if not room.startswith("_")), "")
            extra = "deploy" if "deploy" in extras and asked in DEPLOYING else extras[0]
            raise ModuleNotFoundError(f"{asking[0]} needs {fullname}: pip install 'linconv[{extra}]'", name=fullname)


def _importing_modules() -> list[str]:
    """The names of the modules whose code led to the import in progress, the one that asks for it first."""
    names = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.partition(".")[0] not in ("importlib", "_frozen_importlib"):
            names.append(name)
        frame = frame.f_back
    return names


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
