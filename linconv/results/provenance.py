"""Where a result comes from: versions, hardware, commit, and hashes of the code that made it."""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from linconv.config.methods import PLAIN, method_sources

PACKAGE = Path(__file__).resolve().parent.parent
# the code that decides the outcome of a run (its configuration has a hash of its own), and how results look
CODE = {
    "training": (
        *("layers", "models", "data", "pruning", "training", "runner.py"),
        *("measure/redundancy.py", "measure/trace.py", "measure/complexity.py"),
    ),
    "complexity": ("layers", "models", "measure"),
    "sensitivity": ("layers", "models", "data", "training", "measure/sensitivity.py"),
    "report": ("results", "report", "catalogue"),
    "throughput": (
        "layers",
        "models",
        "pruning",
        "training/step.py",
        "training/graphs.py",
        "training/numerics.py",
        "data/batches.py",
        "measure/memory.py",
        "measure/network.py",
        "measure/throughput.py",
        "measure/steps.py",
        "measure/timing.py",
    ),
    "costs": (
        *("config/recipes.py", "layers", "models", "pruning", "data/batches.py"),
        *("training/run.py", "training/step.py", "training/numerics.py"),
        *("measure/network.py", "measure/regularizer.py", "measure/profile.py"),
        *("measure/steps.py", "measure/timing.py"),
    ),
}


@functools.cache
def code_hash(
    kind: Literal["training", "complexity", "sensitivity", "report", "throughput", "costs"] = "training", *layers: str
) -> str:
    """16 hexadecimal digits that change with the code of that kind, but not with its comments and docstrings.

    Args:
        layers: names of the layers in use, whose own modules count too: a new method leaves other results valid.
    """
    digest = hashlib.sha256()
    for root, files in _code(kind, layers):
        for path in files:
            if path.suffix == ".py":
                content = ast.dump(_without_docstrings(ast.parse(path.read_bytes()))).encode()
            elif path.suffix in (".csv", ".mplstyle", ".j2", ".css", ".js"):
                content = path.read_bytes()
            else:
                continue
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _code(kind: str, layers: Iterable[str]) -> Iterator[tuple[Path, list[Path]]]:
    """The files to hash, each group with the folder their names are relative to."""
    for part in CODE[kind]:
        root = PACKAGE / part
        yield PACKAGE, sorted(root.rglob("*")) if root.is_dir() else [root]
    for layer in sorted(set(layers) - {PLAIN}):
        if sources := method_sources(layer):
            root = Path(os.path.commonpath([path.parent for path in sources]))
            yield root, sources


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return tree


@functools.cache
def _versions() -> dict[str, str]:
    # looking for the packages' metadata takes up to seconds on a slow disk, and a run asks after every epoch
    packages = ("linconv", "torch", "torchvision", "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {p: _version(p) for p in packages}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect a result."""
    return dict(_versions())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a copy of the tree that was never installed
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def hardware() -> dict[str, Any]:
    """The processor, its cores and the operating system; no name of the machine or its user."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def peak_memory_mib() -> float | None:
    """The most memory that this process has held (resident set), in MiB; None where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts what the process that started this one used
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10, 1)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def git_state() -> tuple[str | None, bool | None]:
    """The commit of the code in use and whether tracked files differ from it.

    For a copy that is no checkout, LINCONV_GIT_COMMIT and LINCONV_GIT_DIRTY ("true" or "false") of the environment
    say it. (None, None) where neither does.
    """
    root = PACKAGE.parent
    if commit := os.environ.get("LINCONV_GIT_COMMIT"):
        known = {"true": True, "1": True, "false": False, "0": False}
        return commit, known.get(os.environ.get("LINCONV_GIT_DIRTY", "").lower())
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git("rev-parse", "HEAD")
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def now_utc() -> str:
    """The time now, to the second, in UTC (ISO 8601)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@functools.cache
def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
