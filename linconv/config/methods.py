"""The layers that may take the place of a convolution, by name, known without importing torch.

A method is one module and one line here: `linconv/methods/<name>.py` holds a subclass of
`linconv.layers.ConvReplacement`. Other packages bring theirs through the entry point group `linconv.methods`, in
their own `pyproject.toml`: `[project.entry-points."linconv.methods"]`, `mine = "my_package.my_module:MyConv2d"`.
"""

from __future__ import annotations

import functools
import importlib.util
from importlib import metadata
from pathlib import Path

GROUP = "linconv.methods"
PLAIN = "conv"  # the plain convolution, which nothing replaces

METHODS: dict[str, str] = {
    "linear": "linconv.layers.linear_conv:LinearConv2d",
    "basis": "linconv.methods.basis:BasisConv2d",
    "basis_linear": "linconv.methods.basis:LinearBasisConv2d",
    "bsconv_s": "linconv.methods.bsconv:BSConvS2d",
    "bsconv_u": "linconv.methods.bsconv:BSConvU2d",
    "cp": "linconv.methods.cp:CPConv2d",
    "dcls": "linconv.methods.dcls:DCLSConv2d",
    "dynamic": "linconv.methods.dynamic:DynamicConv2d",
    "ghost": "linconv.methods.ghost:GhostConv2d",
    "hetconv": "linconv.methods.hetconv:HetConv2d",
    "lowrank": "linconv.methods.lowrank:LowRankConv2d",
    "octconv": "linconv.methods.octconv:OctConv2d",
    "spatial": "linconv.methods.spatial:SpatialConv2d",
    "tucker": "linconv.methods.tucker:TuckerConv2d",
    "wconv": "linconv.methods.wconv:WConv2d",
}


@functools.cache
def known_methods() -> dict[str, str]:
    """Every method, built in or installed: name -> "module:Class".

    Raises:
        ValueError: two packages, or one and this project, use the same name.
    """
    found = dict(METHODS)
    for entry in metadata.entry_points(group=GROUP):
        if found.setdefault(entry.name, entry.value) != entry.value:
            raise ValueError(
                f"the method '{entry.name}' is both {found[entry.name]} and {entry.value}; uninstall or rename one"
            )
    return found


def method_sources(name: str) -> list[Path]:
    """The files whose code decides what a method does, for the hashes of results made with it.

    Those of `linconv.layers` are left out: every result depends on them. Of another package all modules count.
    """
    module = known_methods()[name].partition(":")[0]
    if module.startswith("linconv.layers."):
        return []
    package = Path(__file__).resolve().parent.parent
    if module.startswith("linconv."):
        return [package.joinpath(*module.split(".")[1:]).with_suffix(".py")]
    found = importlib.util.find_spec(module.partition(".")[0])
    if found is None or found.origin is None:
        raise ValueError(f"the method '{name}' is {module}, which cannot be found; install its package again")
    origin = Path(found.origin)
    return sorted(origin.parent.rglob("*.py")) if found.submodule_search_locations else [origin]


def method_version(name: str) -> str | None:
    """The distribution and version that a method of another package comes from, such as "mine 1.2"; else None."""
    if name in METHODS or name == PLAIN:
        return None
    for entry in metadata.entry_points(group=GROUP, name=name):
        if entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
    return None
