"""What a model is run on, and what is said where it does not run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config.errors import UserError, first_line

WRAP = "wrap it in a module whose forward takes the images alone"


class NoTensorError(UserError, TypeError):
    """A sample that should be a tensor, and is none."""


def image_of(model: nn.Module, size: Sequence[int], device: str | None = None) -> Tensor:
    """An image of zeros of the dtype of a model, which its first parameter that is no integer tells, on its device.

    Args:
        size: (c, h, w).
        device: another device.
    """
    numbers = (p for p in model.parameters() if p.is_floating_point() or p.is_complex())
    like = next(numbers, None)
    dtype = torch.get_default_dtype() if like is None else like.dtype
    place = next((t for t in (like, *model.parameters(), *model.buffers()) if t is not None), torch.empty(0))
    return torch.zeros(1, *size, device=device or place.device, dtype=dtype)


def one_image(size: Sequence[int]) -> str:
    """The name of an image, (c, h, w), in a message."""
    return f"one image of shape {tuple(size)}"


def the_sample(sample: Tensor) -> str:
    """The name of a batch in a message."""
    return f"the sample, {sample.dtype} of shape {tuple(sample.shape)}"


def inputs_of_batch(inputs: Any) -> str:
    """The name of the inputs of a batch in a message, whatever they are."""
    if isinstance(inputs, Tensor):
        return f"the inputs of a batch, {inputs.dtype} of shape {tuple(inputs.shape)}"
    return f"the inputs of a batch ({type(inputs).__name__})"


def not_run(what: str, error: Exception) -> UserError:
    """The error that names what a model does not run on, and the remedy where the model wants more than one input."""
    missing = isinstance(error, TypeError) and "required positional argument" in str(error)
    remedy = f"; {WRAP}" if missing else ""
    return UserError(f"the model does not run on {what}: {first_line(error)}{remedy}")


@contextmanager
def running_on(what: str, raises: type[UserError] = UserError, before: str = "") -> Iterator[None]:
    """Name, in the error of this class, what a model does not run on, for whatever the block raises."""
    try:
        yield
    except Exception as error:  # whatever a model does with inputs that it was not made for
        raise raises(f"{before}{not_run(what, error)}") from error


def check_sample(sample: object) -> None:
    """Raise NoTensorError for a sample that is no tensor."""
    if not isinstance(sample, Tensor):
        several = f"; a model of several inputs: {WRAP}" if isinstance(sample, tuple | list | dict) else ""
        raise NoTensorError(f"sample_input must be a tensor, not {type(sample).__name__}{several}")


def check_values(model: nn.Module, what: str, *, meta: bool = False) -> None:
    """Raise UserError for the first parameter or buffer without values: it is lazy, or on the meta device.

    Args:
        what: needs them, such as "optimize".
        meta: allow the meta device, for what looks at shapes alone.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise UserError(f"{what}: {name} is lazy and has no shape yet; pass a batch through the model first")
        if tensor.is_meta and not meta:
            raise UserError(
                f"{what}: {name} is on the meta device and has no values; give the model some first "
                '(model.to_empty(device="cpu"), then load_state_dict)'
            )
