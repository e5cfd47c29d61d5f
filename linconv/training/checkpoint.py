"""Checkpoints: a training that stops after any epoch continues bit for bit.

Two generations lie in a run's folder, so that a damaged file costs one epoch and not the run. A checkpoint is what
`torch.save` writes, followed by the SHA-256 of it: a changed byte inside a tensor would otherwise load without a word.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch

from linconv.config.errors import UserError
from linconv.results import Epoch, atomic_path
from linconv.results.run_folder import CURRENT, PREVIOUS
from linconv.training.engine import Training

log = logging.getLogger("linconv")
VERSION = 4
DIGEST_BYTES = hashlib.sha256().digest_size


def save_checkpoint(folder: Path, training: Training, identity: str) -> None:
    """Write model, optimiser, callbacks, random state and history to `folder`; what lies there becomes the previous.

    The new file is whole and on the disk before either is moved: at any moment one of the two can be used.

    Args:
        identity: what the checkpoint belongs to; `restore_checkpoint` accepts no other.
    """
    state = {
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
    current = folder / CURRENT
    with atomic_path(current) as temporary:
        torch.save(state, temporary)
        with temporary.open("r+b") as file:
            file.write(hashlib.file_digest(file, "sha256").digest())  # read to the end, hence appended
        if current.exists():
            current.replace(folder / PREVIOUS)


def restore_checkpoint(folder: Path, training: Training, identity: str) -> str | None:
    """Bring `training` to where its newest usable checkpoint left it.

    A checkpoint that is damaged is set aside as `<name>.unusable`, with a warning. One that belongs to something else,
    such as the same run with another recipe, is set aside under a name of its own, and found again when what it
    belongs to comes back.

    Returns:
        The name of the file used; None, and `training` as it was, where there is none to use.

    Raises:
        MemoryError, torch.OutOfMemoryError: the checkpoint may be good, so it stays where it is.
        UserError: a checkpoint cannot be read; it may be good, so it stays where it is.
    """
    model = training.model
    for place in (folder / CURRENT, folder / PREVIOUS):
        for path in (place, _aside(place, identity)):
            if not path.exists():
                continue
            try:
                _apply(_read(path, identity), training)
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except ForeignError as foreign:
                aside = path.replace(_aside(place, foreign.identity))
                log.warning("checkpoint %s %s; kept as %s until that is trained again", path.name, foreign, aside.name)
            except OSError as error:
                if path.is_file():
                    raise UserError(
                        f"checkpoint {path} cannot be read ({error.strerror}); make it readable, or delete it to lose "
                        "what it holds"
                    ) from None
                _set_unusable(path, error)
            except Exception as error:  # whatever loading raises for a file of another version or library
                training.replace_model(model)
                _set_unusable(path, error)
            else:
                if path != place:
                    path.replace(place)
                    _aside(folder / PREVIOUS, identity).unlink(missing_ok=True)
                return path.name
    return None


class ForeignError(Exception):
    """A whole checkpoint of something else, whose `identity` it tells."""

    def __init__(self, identity: str, wanted: str) -> None:
        super().__init__(f"belongs to {identity}, not to {wanted}")
        self.identity = identity


def _aside(place: Path, identity: str) -> Path:
    """Where a checkpoint is kept that belongs to `identity` while `place` is used by another."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    return place.with_name(f"{place.name}.of-{digest}")


def _set_unusable(path: Path, error: Exception) -> None:
    aside = path.replace(path.with_name(path.name + ".unusable"))
    reason = " ".join(str(error).split())[:200]
    log.warning("checkpoint %s cannot be used (%s); set aside as %s", path.name, reason, aside.name)


def _read(path: Path, identity: str) -> dict[str, Any]:
    """The checked content of a checkpoint; a ValueError says what is wrong with it."""
    left = path.stat().st_size - DIGEST_BYTES
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 2**20))):
            digest.update(block)
            left -= len(block)
        if file.read() != digest.digest():
            raise ValueError("damaged: its content does not match its checksum")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["version"] != VERSION:
        raise ValueError(f"its format is version {state['version']}, not {VERSION}")
    if state["identity"] != identity:
        raise ForeignError(state["identity"], identity)
    return state


def _apply(state: dict[str, Any], training: Training) -> None:
    history = [Epoch.model_validate(epoch) for epoch in state["history"]]
    epoch, step, diverged = state["epoch"], state["step"], state["diverged"]
    rng_cpu, rng_cuda = state["rng_cpu"], state["rng_cuda"]
    for callback, saved in zip(training.callbacks, state["callbacks"], strict=True):
        callback.before_load(training, saved)
    _check_fit(state["model"], training.model.state_dict())
    # how the optimiser works is the recipe's and this machine's affair: a GPU's checkpoint continues on a CPU
    groups = training.optimizer.state_dict()["param_groups"]
    training.optimizer.load_state_dict({"state": state["optimizer"], "param_groups": groups})
    for parameter, moments in training.optimizer.state.items():  # torch compares neither names nor shapes
        if not isinstance(parameter, torch.Tensor) or any(
            isinstance(m, torch.Tensor) and m.dim() and m.shape != parameter.shape for m in moments.values()
        ):
            raise ValueError("its optimiser belongs to another model")
    torch.set_rng_state(rng_cpu)
    training.stepper.scaler.load_state_dict(state["scaler"])
    for callback, saved in zip(training.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(saved)
    training.model.load_state_dict(state["model"])  # last and checked before, so no copy of the model is needed
    training.history, training.diverged = history, diverged
    training.epoch, training.step = epoch, step
    if torch.cuda.is_available() and len(rng_cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(rng_cuda)


def _check_fit(saved: dict[str, Any], own: dict[str, Any]) -> None:
    """Refuse saved weights that would fit a model in part only."""
    names = own.keys() | saved.keys()
    wrong = sorted(n for n in names if n not in own or n not in saved or own[n].shape != saved[n].shape)
    if wrong:
        raise ValueError(f"it does not fit the network: {', '.join(wrong[:5])}")
