"""Real processes that train one run together, forked from one that has imported torch."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from linconv.data import DatasetInfo

GREY: Any = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
INFO = DatasetInfo(classes=3, channels=3, **GREY, image_size=8, crop_padding=1, flip=True)

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"
SECONDS = 60  # after which a process hangs


def kill_test() -> Any:
    if str(SCRIPT.parent) not in sys.path:
        sys.path.append(str(SCRIPT.parent))  # its processes import it by its name
    return importlib.import_module(SCRIPT.stem)


def together(folder: Path, target: Callable[..., None], *arguments: Any, processes: int = 2) -> list[int | None]:
    """Call `target` in so many processes, each in its place; their exit codes. What they say: `folder`/RANK.err."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
        given = ({name: str(value) for name, value in places.items()}, folder, target, arguments)
        started.append(kill_test().PROCESSES.Process(target=_in_place, args=given))
        started[-1].start()
    codes = []
    for process in started:
        process.join(SECONDS)
        codes.append(process.exitcode)
        process.kill()
    return codes


def _in_place(places: dict[str, str], folder: Path, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    local = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    os.environ.update(places | local)
    sys.path.insert(0, str(SCRIPT.parents[1]))
    said = os.open(folder / f"{places['RANK']}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 2)
    target(*arguments)
