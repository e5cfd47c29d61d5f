"""How much memory this process may use: the machine's, the control groups', the scheduler's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

MIB = 2**20


def host_memory(root: Path = Path("/")) -> int:
    """Bytes that can be had: what Linux states, every level of control groups allows and Slurm gave; elsewhere all.

    0 on Windows, which Python does not ask: what might not fit is streamed there.

    Args:
        root: the folder that holds /proc and /sys.
    """
    if sys.platform == "win32":
        return 0
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_available(root), *_group_limits(root), *_slurm_limits()])


def _available(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _group_limits(root: Path) -> Iterator[int]:
    """The limits of this process's control group and of all groups above it, of version 2 and of version 1.

    A scheduler sets the limit on the job; the process is in a group further down, which has none.
    """
    mounted = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, file = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            top, file = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top.joinpath(*(part for part in Path(path).parts if part not in ("/", "..")))
        for level in (group, *group.parents):
            for limit in _lines(level / file):
                if limit.isdigit():  # not "max"
                    yield int(limit)
            if level == top:
                break


def _slurm_limits() -> Iterator[int]:
    """What Slurm gave to the job on this machine, in MiB; 0 means all."""
    if per_node := _number("SLURM_MEM_PER_NODE"):
        yield MIB * per_node
    per_cpu, cpus = _number("SLURM_MEM_PER_CPU"), _number("SLURM_CPUS_ON_NODE")
    if per_cpu and cpus:
        yield MIB * per_cpu * cpus


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except OSError:
        return []
