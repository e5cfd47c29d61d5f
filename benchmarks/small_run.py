"""One short training on 24 small images, and the processes in which `kill_test.py` and `fault_test.py` disturb it."""

from __future__ import annotations

import json
import multiprocessing
import os
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
from PIL import Image

RUN = {"dataset": "pets", "architecture": "base", "variant": "LSr", "seed": "0"}


def warm_processes() -> ForkServerContext:
    """Processes that are forked from one that has imported torch."""
    here = str(Path(__file__).resolve().parent)
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if here not in places:  # where the server finds what it imports
        os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, places)])
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["warm"])
    return processes


def write_run(root: Path, epochs: int) -> Path:
    """The configuration of the run, and its images.

    The sparse variant, since its schedule is a state too; the weights are kept, since they show every bit.
    """
    draws = np.random.RandomState(0)
    for part, each in (("train", 8), ("test", 4)):
        for k, kind in enumerate(("ant", "bee")):
            for i in range(each):
                file = root / "data" / "pets" / part / kind / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draws.randint(64 * k, 64 * k + 192, (32, 32, 3), dtype=np.uint8)).save(file)
    config = root / "kill.yaml"
    values = {"epochs": epochs, "batch_size": 4, "schedule": "cosine"}
    config.write_text(
        json.dumps(
            {
                "experiment": "kill",
                "datasets": [RUN["dataset"]],
                "architectures": [RUN["architecture"]],
                "variants": [RUN["variant"]],
                "seeds": [int(RUN["seed"])],
                "device": "cpu",
                "keep_weights": True,
                "define": {"LSr": {"extends": "LSr", "sparsity_schedule": {"period": 3, "step_size": 0.002}}},
                "recipe": {"overrides": [{"set": values}]},
                "complexity": {"architectures": ["base"]},
                "data_root": str(root / "data"),
                "imagefolders": {"pets": {"path": "pets"}},
            }
        ),
        encoding="utf-8",
    )
    return config
