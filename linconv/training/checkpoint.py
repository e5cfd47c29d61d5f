"""Checkpoints: a training that stops after any epoch continues bit for bit.

Two generations lie in a run's folder, so that a damaged file costs one epoch and not the run. A checkpoint is what
`torch.save` writes, followed by the SHA-256 of it: a changed byte inside a tensor would otherwise load without a word.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, InstanceOf, ValidationError, model_validator
from torch import Tensor

from linconv.config.errors import UserError, explain_unreadable
from linconv.results import Epoch
from linconv.results.record import NonNegativeInt
from linconv.results.run_folder import CURRENT, PREVIOUS
from linconv.stopping import check
from linconv.training.engine import Callback, Training
from linconv.training.memory import is_out_of_memory
from linconv.training.torch_files import read_torch, write_torch

log = logging.getLogger("linconv")
VERSION = 4

# What a file raises whose checksum fits and whose content does not: another version's, another library's, forged.
_UNUSABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError, UnpicklingError, RuntimeError)


class _State(BaseModel):
    """What a checkpoint holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int
    identity: str
    epoch: NonNegativeInt
    step: NonNegativeInt
    diverged: bool
    history: list[Epoch]
    model: dict[str, InstanceOf[Tensor]]
    optimizer: dict[Any, Any]
    scaler: dict[str, Any]
    callbacks: list[dict[str, Any]]
    rng_cpu: InstanceOf[Tensor]
    rng_cuda: list[InstanceOf[Tensor]]

    @model_validator(mode="after")
    def _consistent(self) -> _State:
        if [epoch.epoch for epoch in self.history] != [*range(1, self.epoch + 1)]:
            raise ValueError(f"its history is not that of {self.epoch} epochs")
        return self


def save_checkpoint(folder: Path, training: Training, identity: str) -> None:
    """Write model, optimizer, callbacks, random state and history to `folder`; what lies there becomes the previous.

    The new file is whole and on the disk before either is moved: at any moment one of the two can be used.

    Args:
        identity: what the checkpoint belongs to; `restore_checkpoint` accepts no other.

    Raises:
        OSError: it cannot be written; what lies there stays.
    """
    write_torch(folder / CURRENT, state_of(training, identity), checksum=True, previous=folder / PREVIOUS)


def state_of(training: Training, identity: str) -> dict[str, Any]:
    """What a checkpoint of a training holds."""
    return {
        "version": VERSION,
        "identity": identity,
        "epoch": training.epoch,
        "step": training.step,
        "diverged": training.diverged,
        "history": [epoch.model_dump() for epoch in training.history],
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict()["state"],
        "scaler": training.stepper.scaler.state_dict(),
        "callbacks": [callback.state_dict() for callback in training.callbacks],
        "rng_cpu": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_checkpoint(folder: Path, training: Training, identity: str) -> str | None:
    """Bring `training` to where its newest usable checkpoint left it.

    A checkpoint that is damaged is set aside as `<name>.unusable`, with a warning. One that belongs to something else,
    such as the same run with another recipe or on other images, is set aside under a name of its own, and found again
    when what it belongs to comes back. Nothing else moves a file: no request to stop, and no error of the system.

    Returns:
        The name of the file used; None, and `training` as it was, where there is none to use.

    Raises:
        MemoryError, torch.OutOfMemoryError: the checkpoint may be good, so it stays where it is.
        UserError: a checkpoint cannot be read; it may be good, so it stays where it is.
    """
    model = training.model
    for place in (folder / CURRENT, folder / PREVIOUS):
        for path in (place, aside(place, identity)):
            if not _is_there(path):
                continue
            try:
                _apply(_read(path, identity, training), training)
            except ForeignError as foreign:
                set_aside("checkpoint", path, place, foreign)
            except OSError as error:
                raise _not_given(path, error) from None
            except _UNUSABLE as error:
                check()  # torch makes errors of its own of what interrupts it
                if _is_of_the_machine(error):
                    raise
                training.replace_model(model)
                _set_unusable(path, error)
            else:
                if path != place:
                    _bring_back(folder, path, place, identity)
                return path.name
    return None


def restore_team(folder: Path, training: Training, identity: str) -> str | None:
    """`restore_checkpoint` in the first process of the team; the others get the state from it, not from a file."""

    def restore() -> tuple[str | None, dict[str, Any] | None]:
        name = restore_checkpoint(folder, training, identity)
        return name, state_of(training, identity) if name and training.team.size > 1 else None

    name, state = training.team.from_first(restore)
    if state is not None and not training.team.is_first:
        _apply(_State.model_validate(state), training)
    return name


def _bring_back(folder: Path, path: Path, place: Path, identity: str) -> None:
    """Move the checkpoint at `path`, which was set aside, to `place`, and the one before it too, as far as it can."""
    previous, other = folder / PREVIOUS, aside(folder / PREVIOUS, identity)
    if path != other and other.exists():
        if previous.exists():
            other.unlink()
        else:
            other.replace(previous)
    path.replace(place)


class ForeignError(Exception):
    """A whole file of something else, whose `identity` it tells."""

    def __init__(self, identity: str, wanted: str) -> None:
        super().__init__(f"belongs to {identity}, not to {wanted}")
        self.identity = identity


def _is_there(path: Path) -> bool:
    """Whether a checkpoint lies at `path`; a folder in its place is set aside."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:  # `Path.exists` of some versions takes it for no file, and the training would start anew
        raise _not_given(path, error) from None
    if not path.is_file():
        _set_unusable(path, ValueError("it is no file"))
        return False
    return True


def _not_given(path: Path, error: OSError) -> UserError:
    return UserError(f"checkpoint {path} {explain_unreadable(error)}, or delete it to lose what it holds")


def _is_of_the_machine(error: Exception) -> bool:
    """Whether an error says nothing of the file: memory has run out, or a GPU fails."""
    return is_out_of_memory(error) or (isinstance(error, RuntimeError) and "CUDA" in str(error))


def aside(place: Path, identity: str) -> Path:
    """Where a file is kept that belongs to `identity` while `place` is used by another."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    return place.with_name(f"{place.name}.of-{digest}")


def set_aside(what: str, path: Path, place: Path, foreign: ForeignError) -> None:
    """Move the file at `path`, which belongs to something else, out of the way of `place`, with a line in the log."""
    kept = path.replace(aside(place, foreign.identity))
    log.warning("%s %s %s; kept as %s until that is trained again", what, path.name, foreign, kept.name)


def _set_unusable(path: Path, error: Exception) -> None:
    kept = path.replace(path.with_name(path.name + ".unusable"))
    reason = " ".join(str(error).split())[:200]
    log.warning("checkpoint %s cannot be used (%s); set aside as %s", path.name, reason, kept.name)


def _read(path: Path, identity: str, training: Training) -> _State:
    """The checked content of a checkpoint; a ValueError says what is wrong with it."""
    content = read_torch(path)
    version = content["version"]
    if version != VERSION:
        raise ValueError(f"its format is version {version}, not {VERSION}")
    try:
        state = _State.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "content"
        raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    if state.identity != identity:
        raise ForeignError(state.identity, identity)
    if state.epoch > training.recipe.epochs:
        raise ValueError(f"it is of epoch {state.epoch}, and the training has {training.recipe.epochs}")
    if not state.diverged and not all(v.isfinite().all() for v in state.model.values() if v.is_floating_point()):
        raise ValueError("its weights are not finite")
    return state


def _apply(state: _State, training: Training) -> None:
    for callback, saved in zip(training.callbacks, state.callbacks, strict=True):
        callback.before_load(training, saved)
    _check_fit(state.model, training.model.state_dict())
    if state.step and not state.optimizer and _keeps_moments(training):
        raise ValueError("its optimizer has no moments")
    # how the optimizer works is the recipe's and this machine's affair: a GPU's checkpoint continues on a CPU
    groups = training.optimizer.state_dict()["param_groups"]
    training.optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})
    for parameter, moments in training.optimizer.state.items():  # torch compares neither names nor shapes
        if not isinstance(parameter, Tensor) or any(
            isinstance(m, Tensor) and m.dim() and m.shape != parameter.shape for m in moments.values()
        ):
            raise ValueError("its optimizer belongs to another model")
    torch.set_rng_state(state.rng_cpu)
    training.stepper.scaler.load_state_dict(state.scaler)
    for callback, saved in zip(training.callbacks, state.callbacks, strict=True):
        callback.load_state_dict(saved)
    training.model.load_state_dict(state.model)  # last and checked before, so no copy of the model is needed
    training.history, training.diverged = state.history, state.diverged
    training.epoch, training.step = state.epoch, state.step
    if torch.cuda.is_available() and len(state.rng_cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state.rng_cuda)


def _keeps_moments(training: Training) -> bool:
    """Whether the optimizer has a state after any step; a replaced model's may have made none, nor one in fp16."""
    replaces = any(type(callback).before_load is not Callback.before_load for callback in training.callbacks)
    is_stateful = "betas" in training.optimizer.defaults or training.optimizer.defaults.get("momentum", 0) > 0
    return is_stateful and not replaces and training.recipe.precision != "fp16"


def _check_fit(saved: dict[str, Any], own: dict[str, Any]) -> None:
    """Refuse saved weights that would fit a model in part only."""
    names = own.keys() | saved.keys()
    wrong = sorted(n for n in names if n not in own or n not in saved or own[n].shape != saved[n].shape)
    if wrong:
        raise ValueError(f"it does not fit the network: {', '.join(wrong[:5])}")
