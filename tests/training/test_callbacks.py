"""What a person sees of a training: a bar on a terminal, plain lines in a log."""

import io
import logging

import pytest
import torch
from rich.console import Console
from torch import nn

from linconv.config import Recipe
from linconv.training.callbacks import (
    CheckpointCallback,
    LogLines,
    ProcessLog,
    ProgressBar,
)
from linconv.training.checkpoint import restore_checkpoint
from linconv.training.engine import Callback, Training, fit


def training(callbacks, epochs=2):
    batches = [(torch.randn(4, 3), torch.randint(2, (4,))) for _ in range(3)]
    return Training(
        nn.Linear(3, 2), Recipe(epochs=epochs), lambda e: iter(batches), lambda e: iter(batches), 3, (), callbacks
    )


def test_the_bar_counts_steps_and_shows_loss_and_accuracy_per_epoch():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140)
    done = fit(training([ProgressBar("digits/base/Lr/seed0", console)]))
    text = screen.getvalue()
    last = done.history[-1]
    assert "digits/base/Lr/seed0" in text
    assert "6/6" in text
    assert f"epoch 2/2  loss {last.train_loss:.4f}  test top-1 {last.test_top1:.2f} %" in text


def test_the_log_has_one_plain_line_per_epoch(caplog):
    caplog.set_level(logging.INFO, "linconv")
    done = fit(training([LogLines()]))
    assert len(caplog.messages) == 2
    assert caplog.messages[1].startswith(f"epoch 2/2  train loss {done.history[1].train_loss:.4f}")
    assert "\x1b" not in caplog.text


def test_a_checkpoint_follows_every_epoch_and_the_one_before_stays(tmp_path):
    fit(training([CheckpointCallback(tmp_path, "x")], epochs=1))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    fit(training([CheckpointCallback(tmp_path, "x")], epochs=3))
    names = {"checkpoint.pt": 3, "checkpoint.previous.pt": 2}
    assert {path.name: torch.load(path, weights_only=True)["epoch"] for path in tmp_path.iterdir()} == names


def test_the_terminal_gets_its_cursor_back_after_an_error():
    class Fails(Callback):
        def on_step_end(self, training):
            raise RuntimeError("no")

    screen = io.StringIO()
    with pytest.raises(RuntimeError, match="no"):
        fit(training([ProgressBar("x", Console(file=screen, force_terminal=True)), Fails()]))
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert screen.getvalue().count(hide) == screen.getvalue().count(show) == 1


def process(**changes):
    state = {"device": "cpu", "processes": 1, "versions": {"torch": "2"}, "hardware": {"cpu": "a"}}
    state |= {"numerics": {"threads": 1}, "peak_memory_mib": 1.0, "peak_gpu_memory_mib": None}
    return lambda training: state | changes


def test_a_process_that_goes_on_knows_those_before_it(tmp_path, caplog):
    callbacks = [ProcessLog(process()), CheckpointCallback(tmp_path, "x")]
    fit(training(callbacks, epochs=2))
    for earlier in ([2], [2, 3]):  # a third process knows both
        resumed = training([ProcessLog(process()), CheckpointCallback(tmp_path, "x")], epochs=earlier[-1] + 1)
        assert restore_checkpoint(tmp_path, resumed, "x")
        log = resumed.callbacks[0]
        assert [p.epochs for p in log.earlier] == earlier
        assert all(0 < p.seconds < 60 for p in log.earlier)
        fit(resumed)
    assert caplog.messages == []


def test_graphs_captured_so_far_are_no_other_setting(tmp_path, caplog):
    """A process begins with none, whatever the one before had when it saved."""
    graphs = {"threads": 1, "cuda_graphs": 4}
    fit(training([ProcessLog(process(numerics=graphs)), CheckpointCallback(tmp_path, "x")], epochs=1))
    begun = process(numerics=graphs | {"cuda_graphs": 0})
    resumed = training([ProcessLog(begun), CheckpointCallback(tmp_path, "x")], epochs=2)
    assert restore_checkpoint(tmp_path, resumed, "x")
    fit(resumed)
    assert caplog.messages == []


def test_a_process_with_other_settings_says_so(tmp_path, caplog):
    fit(training([ProcessLog(process()), CheckpointCallback(tmp_path, "x")], epochs=1))
    other = process(numerics={"threads": 2, "asked": {"threads": 2}}, versions={"torch": "3"})
    resumed = training([ProcessLog(other), CheckpointCallback(tmp_path, "x")], epochs=2)
    restore_checkpoint(tmp_path, resumed, "x")
    fit(resumed)
    (message,) = caplog.messages
    assert message.startswith("the first 1 epochs were trained otherwise")
    assert message.endswith(": torch 2 -> 3, threads 1 -> 2")
