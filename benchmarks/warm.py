"""What a training imports and hashes, done once, so that a process forked from one that has this starts fast."""

import importlib

from linconv.config.parts import grid_parts
from linconv.config.variants import VARIANTS
from linconv.results.code import source_code

for name in (
    "linconv.runner",
    "linconv.cli.commands",
    "linconv.report",
    "torch._inductor",
    "torchvision.transforms.v2",
):
    importlib.import_module(name)
source_code().hash("run", grid_parts(["base"], VARIANTS.values()))
