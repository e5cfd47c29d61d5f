"""Running out of memory, told apart from other errors and told to the user."""

from __future__ import annotations

import torch

from linconv.config import Config, ResolvedRun
from linconv.config.errors import UserError

# torch raises a plain RuntimeError for these
_ALLOCATORS = ("DefaultCPUAllocator", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")


class NotEnoughMemoryError(UserError):
    """A run needs more memory than there is."""

    exit_code = 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on the CPU or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(name in str(error) for name in _ALLOCATORS)


def not_enough_memory(run: ResolvedRun, config: Config, device: str, error: BaseException) -> NotEnoughMemoryError:
    """The error that ends the run: what ran, what failed, what to change. Nothing is changed without being asked."""
    recipe = run.recipe
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    remedies = ["a smaller batch_size"]
    if recipe.precision in ("fp32", "tf32"):
        remedies.append("precision: bf16")
    remedy = f"set {' or '.join(remedies)} in recipe.overrides"
    if device == "cuda" and config.runs_per_gpu > 1:
        remedy += f", or lower runs_per_gpu, now {config.runs_per_gpu}"
    if config.cuda_graph:
        remedy += ", or cuda_graph: false"
    return NotEnoughMemoryError(
        f"out of memory on the {'GPU' if device == 'cuda' else 'CPU'}: {run.key} with batch size {recipe.batch_size}, "
        f"precision {recipe.precision} ({reason}); {remedy}"
    )
