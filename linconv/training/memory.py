"""Running out of memory, told apart from other errors and told to the user."""

from __future__ import annotations

import torch

from linconv.config import Config, ResolvedRun
from linconv.config.errors import UserError
from linconv.training.engine import EVALUATING

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
    what, settings = f"batch size {recipe.batch_size}", ["a smaller batch_size"]
    if EVALUATING in getattr(error, "__notes__", ()):  # in batches that the recipe does not decide
        what, settings = "the network in evaluation", []
    if recipe.precision in ("fp32", "tf32"):
        settings.append("precision: bf16")
    remedies = [f"set {' or '.join(settings)} in recipe.overrides"] if settings else []
    if device == "cuda" and config.runs_per_gpu > 1:
        remedies.append(f"lower runs_per_gpu, now {config.runs_per_gpu}")
    if config.cuda_graph:
        remedies.append("cuda_graph: false")
    return NotEnoughMemoryError(
        f"out of memory on the {'GPU' if device == 'cuda' else 'CPU'}: {run.key} with {what}, "
        f"precision {recipe.precision} ({reason}); {', or '.join(remedies or ['use a device with more'])}"
    )
