"""What a person sees of a training: a bar on a terminal, plain lines in a log."""

import io
import logging

import torch
from rich.console import Console
from torch import nn

from linconv.config import Recipe
from linconv.training.callbacks import CheckpointCallback, LogLines, ProgressBar
from linconv.training.engine import Training, fit


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


def test_a_checkpoint_follows_every_epoch_but_the_last(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(training([CheckpointCallback(path, "x")], epochs=1))
    assert not path.exists()
    fit(training([CheckpointCallback(path, "x")], epochs=3))
    assert torch.load(path, weights_only=True)["epoch"] == 2
