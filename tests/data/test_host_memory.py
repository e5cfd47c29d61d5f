"""The memory that a process may use, in the folders of a system that is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from linconv.data.memory import host_memory

GIB = 2**30
V1_UNLIMITED = 9223372036854771712


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 GiB available, on a machine that has more."""
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**23}[name])
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    write(tmp_path / "proc/meminfo", f"MemTotal: 1 kB\nMemAvailable:   {20 * 2**20} kB\n")
    return tmp_path


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}".rstrip("\n") + "\n")


def test_without_limits_what_is_available(system: Path) -> None:
    assert host_memory(system) == 20 * GIB


@pytest.mark.parametrize("level", ["", "/system.slice", "/system.slice/job_7", "/system.slice/job_7/step_0/task_0"])
def test_a_limit_counts_at_every_level(system: Path, level: str) -> None:
    """Slurm sets that of the job; the task below it has none."""
    path = "/system.slice/job_7/step_0/task_0"
    write(system / "proc/self/cgroup", f"0::{path}")
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        write(system / f"sys/fs/cgroup{'/'.join(parts[:depth])}/memory.max", "max")
    write(system / f"sys/fs/cgroup{level}/memory.max", GIB)
    assert host_memory(system) == GIB


def test_the_smallest_limit_counts(system: Path) -> None:
    write(system / "proc/self/cgroup", "0::/a/b")
    write(system / "sys/fs/cgroup/a/memory.max", 2 * GIB)
    write(system / "sys/fs/cgroup/a/b/memory.max", 3 * GIB)
    assert host_memory(system) == 2 * GIB


def test_version_1(system: Path) -> None:
    write(system / "proc/self/cgroup", "12:cpuset:/slurm/job_7\n5:cpu,memory:/slurm/job_7/step_0/task_0\n0::/")
    write(system / "sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", 4 * GIB)
    write(system / "sys/fs/cgroup/memory/slurm/job_7/step_0/task_0/memory.limit_in_bytes", V1_UNLIMITED)
    assert host_memory(system) == 4 * GIB


def test_a_group_outside_of_the_containers_own(system: Path) -> None:
    write(system / "proc/self/cgroup", "0::/../../job_7")
    write(system / "sys/fs/cgroup/memory.max", GIB)
    assert host_memory(system) == GIB


def test_what_slurm_gave(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site may count memory and not confine it."""
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "3072")
    assert host_memory(system) == 3 * GIB
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all that the node has
    assert host_memory(system) == 20 * GIB
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1024")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "2")
    assert host_memory(system) == 2 * GIB
