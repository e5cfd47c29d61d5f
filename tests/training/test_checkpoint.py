"""Two generations of checkpoints: damage costs one epoch, a kill while saving costs nothing that was saved."""

import errno
import hashlib
import os

import pytest
import torch
from torch import nn

from linconv.config import Recipe
from linconv.config.errors import UserError
from linconv.results import remove_leftovers
from linconv.results.files import temporary_name
from linconv.training.callbacks import CheckpointCallback
from linconv.training.checkpoint import CURRENT, PREVIOUS, restore_checkpoint
from linconv.training.engine import Callback, Training, fit

BATCHES = [(torch.ones(4, 3), torch.tensor([0, 1, 1, 0]))] * 2


def training(epochs=2, callbacks=None):
    torch.manual_seed(0)
    return Training(
        nn.Linear(3, 2),
        Recipe(epochs=epochs),
        lambda e: iter(BATCHES),
        lambda e: iter(BATCHES),
        2,
        (),
        callbacks or [Callback()],
    )


def state(training):
    return [p.tolist() for p in training.model.parameters()]


@pytest.fixture
def folder(tmp_path):
    """A run's folder after two epochs."""
    fit(training(callbacks=[CheckpointCallback(tmp_path, "mine")]))
    assert {p.name for p in tmp_path.iterdir()} == {CURRENT, PREVIOUS}
    return tmp_path


def flip_a_byte_of_a_tensor(path):
    """Change the lowest bit of one weight, inside the tensor's own bytes; torch alone does not notice."""
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["model"]["weight"].numpy().tobytes()
    content[content.index(weight)] ^= 1
    path.write_bytes(content)
    changed = torch.load(path, weights_only=True)["model"]["weight"].numpy().tobytes()
    assert changed != weight


DAMAGES = {
    "a flipped bit": (flip_a_byte_of_a_tensor, "does not match its checksum"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:1000]), "does not match its checksum"),
    "garbage": (lambda p: p.write_bytes(b"not a checkpoint"), "does not match its checksum"),
    "empty": (lambda p: p.write_bytes(b""), "does not match its checksum"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_costs_one_epoch(damage, folder, caplog):
    break_it, reason = DAMAGES[damage]
    break_it(folder / CURRENT)
    one = fit(training(epochs=1))
    resumed = training()
    assert restore_checkpoint(folder, resumed, "mine") == PREVIOUS
    assert (resumed.epoch, resumed.history, state(resumed)) == (1, one.history, state(one))
    (message,) = caplog.messages
    assert message.startswith("checkpoint checkpoint.pt cannot be used (")
    assert reason in message
    assert message.endswith("set aside as checkpoint.pt.unusable")
    assert {p.name for p in folder.iterdir()} == {PREVIOUS, f"{CURRENT}.unusable"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_both_damaged_the_training_starts_anew(damage, folder, caplog):
    for name in (CURRENT, PREVIOUS):
        DAMAGES[damage][0](folder / name)
    fresh = training()
    assert restore_checkpoint(folder, fresh, "mine") is None
    assert len(caplog.messages) == 2
    assert {p.name for p in folder.iterdir()} == {f"{CURRENT}.unusable", f"{PREVIOUS}.unusable"}
    assert (fresh.epoch, fresh.step, fresh.history, state(fresh)) == (0, 0, [], state(training()))
    assert fit(fresh).history == fit(training()).history


def test_a_checkpoint_of_something_else_waits_until_that_comes_back(folder, caplog):
    """A mistyped recipe, begun once: neither it nor the right one starts anew."""
    mistake = training(epochs=1, callbacks=[CheckpointCallback(folder, "mistake")])
    assert restore_checkpoint(folder, mistake, "mistake") is None
    fit(mistake)
    assert all("belongs to mine, not to mistake; kept as" in message for message in caplog.messages)
    assert len(caplog.messages) == 2
    expected = fit(training())
    resumed = training()
    restored = restore_checkpoint(folder, resumed, "mine")
    assert restored.startswith(f"{CURRENT}.of-")
    assert (resumed.epoch, resumed.history, state(resumed)) == (2, expected.history, state(expected))
    again = training(epochs=1)
    assert restore_checkpoint(folder, again, "mistake").startswith(f"{CURRENT}.of-")
    assert (again.epoch, again.history) == (1, mistake.history)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_checkpoint_without_permission_stays(folder):
    (folder / CURRENT).chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        restore_checkpoint(folder, training(), "mine")
    assert {p.name for p in folder.iterdir()} == {CURRENT, PREVIOUS}


def test_a_checkpoint_that_a_file_system_does_not_give_stays(folder, monkeypatch):
    def stale(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(torch, "load", stale)
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be read \(Stale file handle\)"):
        restore_checkpoint(folder, training(), "mine")
    assert {p.name for p in folder.iterdir()} == {CURRENT, PREVIOUS}


@pytest.mark.parametrize("key", ["model", "optimizer", "scaler", "callbacks", "history", "step", "diverged", "rng_cpu"])
def test_whatever_is_missing_the_training_stays_as_it_was(key, folder):
    content = torch.load(folder / CURRENT, weights_only=True)
    del content[key]
    (folder / PREVIOUS).unlink()
    torch.save(content, folder / CURRENT)
    whole = (folder / CURRENT).read_bytes()
    (folder / CURRENT).write_bytes(whole + hashlib.sha256(whole).digest())
    fresh = training()
    assert restore_checkpoint(folder, fresh, "mine") is None
    assert (fresh.epoch, fresh.step, fresh.history, state(fresh)) == (0, 0, [], state(training()))


def test_a_checkpoint_that_fits_only_partly_leaves_nothing_behind(folder, caplog):
    (folder / PREVIOUS).unlink()
    other = training()
    other.model.extra = nn.Linear(1, 1)
    before = state(other)
    assert restore_checkpoint(folder, other, "mine") is None
    assert "extra.weight" in caplog.text
    assert state(other) == before


def test_no_checkpoint_is_no_message(tmp_path, caplog):
    assert restore_checkpoint(tmp_path, training(), "mine") is None
    assert caplog.text == ""


def test_out_of_memory_does_not_set_a_good_checkpoint_aside(folder, monkeypatch):
    def exhausted(*_, **__):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(torch, "load", exhausted)
    with pytest.raises(torch.OutOfMemoryError):
        restore_checkpoint(folder, training(), "mine")
    assert {p.name for p in folder.iterdir()} == {CURRENT, PREVIOUS}


@pytest.mark.parametrize("moment", ["before either is moved", "between the two moves"])
def test_killed_while_saving(moment, folder):
    """What the folder looks like then: the next checkpoint is a temporary file."""
    (folder / temporary_name(CURRENT, 2**31 - 1)).write_bytes((folder / CURRENT).read_bytes())
    if moment == "between the two moves":
        (folder / CURRENT).replace(folder / PREVIOUS)
    remove_leftovers(folder)
    resumed = training(epochs=3, callbacks=[CheckpointCallback(folder, "mine")])
    assert restore_checkpoint(folder, resumed, "mine")
    assert resumed.epoch == 2
    assert fit(resumed).history == fit(training(epochs=3)).history
    assert {p.name for p in folder.iterdir()} == {CURRENT, PREVIOUS}


def test_a_diverged_training_stays_diverged(tmp_path):
    diverged = training(callbacks=[CheckpointCallback(tmp_path, "mine")])
    with torch.no_grad():
        diverged.model.weight.fill_(float("inf"))
    assert fit(diverged).diverged
    resumed = training()
    assert restore_checkpoint(tmp_path, resumed, "mine")
    assert fit(resumed).epoch == 1
