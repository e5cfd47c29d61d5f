"""What decides a result's bits, beside the configuration, and its speed: set here, and recorded as it is in force."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from typing import Any, cast

import torch
from torch import nn

from linconv.config import Config, Recipe
from linconv.config.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # numbers of glibc's malloc.h
_kept = False


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep what this process frees; tell whether it does. Others are left as they are.

    By default every large tensor is memory fresh from the kernel, which hands it out page by page and zeroed, and takes
    it back a moment later: a quarter and more of a training step on a CPU. No bit of a result depends on it.
    """
    global _kept
    another = re.search("jemalloc|tcmalloc|mimalloc", os.environ.get("LD_PRELOAD", ""))
    if platform.libc_ver()[0] == "glibc" and not another:
        mallopt = ctypes.CDLL(None).mallopt
        _kept = bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    return _kept


def set_numerics(threads: int, *, precision: str = "fp32", deterministic: bool = True) -> None:
    """Fix threads, determinism and TF32 for this process, and keep the memory it frees.

    Args:
        threads: CPU threads.
        precision: a recipe's; "tf32" admits TF32 on GPUs.
        deterministic: use deterministic algorithms where there are any; False lets cuDNN choose the fastest.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    if deterministic:  # read when cuBLAS starts; without it its products may differ from run to run
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # `torch.use_deterministic_algorithms` would import the compiler, for two seconds, to tell it: `compiled` does that
    torch.set_deterministic_debug_mode("warn" if deterministic else "default")
    # else every new tensor is first filled with NaN, which costs time, changes no bit of ours and finds nothing here
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def compiled(model: nn.Module, **options: Any) -> nn.Module:
    """`torch.compile(model, **options)` by a compiler that is deterministic where this process is."""
    torch.use_deterministic_algorithms(
        torch.are_deterministic_algorithms_enabled(), warn_only=torch.is_deterministic_algorithms_warn_only_enabled()
    )
    return cast(nn.Module, torch.compile(model, **options))


def numerics() -> dict[str, Any]:
    """The settings of this process in force that decide the bits of a result or its time."""
    return {
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        # an operation that has no deterministic form runs all the same
        "deterministic_warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        "mkldnn": torch.backends.mkldnn.is_available(),
        "freed_memory_kept": _kept,
    }


def asked(config: Config, recipe: Recipe) -> dict[str, Any]:
    """What the configuration asks of the machine, to be compared with what was in force."""
    names = ("threads", "channels_last", "deterministic", "compile", "cuda_graph", "runs_per_gpu")
    return {"precision": recipe.precision} | {name: getattr(config, name) for name in names}


def check_device(config: Config, recipe: Recipe, device: str) -> None:
    """Refuse what the device cannot do.

    Raises:
        UserError: a GPU is needed and `device` is the CPU.
    """
    if device == "cuda":
        return
    if config.cuda_graph:
        raise UserError("cuda_graph: true needs a GPU, and this run is on the CPU; use cuda_graph: false")
    if recipe.precision == "fp16":
        raise UserError("precision 'fp16' needs a GPU, and this run is on the CPU; use 'bf16' or 'fp32'")
