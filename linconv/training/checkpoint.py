"""Checkpoints: a training that stops after any epoch continues bit for bit."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import torch

from linconv.results import Epoch, atomic_path
from linconv.training.engine import Training, make_optimizer

log = logging.getLogger("linconv")
VERSION = 1


def save_checkpoint(path: Path, training: Training, config_hash: str) -> None:
    """Write model, optimiser, callbacks, random state and history to `path`, atomically."""
    state = {
        "version": VERSION,
        "config_hash": config_hash,
        "epoch": training.epoch,
        "step": training.step,
        "history": [epoch.model_dump() for epoch in training.history],
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "callbacks": [callback.state_dict() for callback in training.callbacks],
        "rng_cpu": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def restore_checkpoint(path: Path, training: Training, config_hash: str) -> bool:
    """Bring `training` to where the checkpoint left it; False, and nothing changed, where there is none to use.

    A checkpoint that is damaged or belongs to another configuration is set aside as `<name>.unusable`.
    """
    if not path.exists():
        return False
    untouched = copy.deepcopy(training.model.state_dict())
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["version"] != VERSION or state["config_hash"] != config_hash:
            raise ValueError("it belongs to another configuration")
        history = [Epoch.model_validate(epoch) for epoch in state["history"]]
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        for callback, saved in zip(training.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(saved)
    except Exception as error:  # whatever torch.load raises for a damaged file
        aside = path.with_name(path.name + ".unusable")
        path.replace(aside)
        training.model.load_state_dict(untouched)
        training.optimizer = make_optimizer(training.model, training.recipe)
        message = " ".join(str(error).split())[:200]
        log.warning(
            "checkpoint %s cannot be used (%s); set aside as %s, starting anew",
            path.name,
            message,
            aside.name,
        )
        return False
    training.history, training.epoch, training.step = history, state["epoch"], state["step"]
    torch.set_rng_state(state["rng_cpu"])
    if torch.cuda.is_available() and len(state["rng_cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["rng_cuda"])
    return True
