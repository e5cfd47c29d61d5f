"""Commands as results record them: to be typed again, and without anything personal."""

from __future__ import annotations

import sys

import pytest

from linconv.results.commands import shown_command, shown_path, shown_text
from linconv.results.provenance import git_state

CASES = [
    (["linconv", "train", "config/a.yaml", "--seed", "0"], "linconv train config/a.yaml --seed 0"),
    (["linconv", "train", "{here}/config/a.yaml"], "linconv train config/a.yaml"),
    (["linconv", "train", "/home/alice/a.yaml"], "linconv train a.yaml"),
    (["linconv", "--results=/home/alice/r"], "linconv --results=r"),
    (["linconv", "--results={here}/out/r"], "linconv --results=out/r"),
    (["linconv", "--results", "../../../home/alice/r"], "linconv --results r"),
    (["linconv", "--results=out/../../alice/r"], "linconv --results=r"),
    (["linconv", "--results", "~/r"], "linconv --results r"),
    (["linconv", "--results", "~alice/r"], "linconv --results r"),
    (["linconv", "--results", "{here}"], "linconv --results ."),
    (
        ["linconv", "--input", "3x32x32", "--share", "0.5", "--name", "a..b"],
        "linconv --input 3x32x32 --share 0.5 --name a..b",
    ),
    (["linconv", "a=/home/alice/x,/home/alice/y"], "linconv a=x,y"),
    (["linconv", "with space"], "linconv 'with space'"),
    (["linconv", "file:///home/alice/x"], "linconv file:x"),
]


@pytest.mark.parametrize(("words", "shown"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_a_command_names_no_folder_outside(words, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown_command([word.format(here=tmp_path) for word in words]) == shown


def test_the_interpreter_has_no_path():
    assert shown_path(sys.executable) == "python"
    assert shown_command([sys.executable, "-m", "linconv.cli"]) == "python -m linconv.cli"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("error: /home/alice/data/pets: missing; run this", "error: pets: missing; run this"),
        ("cannot read '/home/alice/ab' now", "cannot read 'ab' now"),
        ("see {here}/data/x.png (and ~/y/z)", "see data/x.png (and z)"),
        (
            "12/14 images, 3 img/s, and/or, https://example.org/a",
            "12/14 images, 3 img/s, and/or, https://example.org/a",
        ),
        ("epoch 1/4  train loss 0.5 /s", "epoch 1/4  train loss 0.5 /s"),
    ],
)
def test_a_message_names_no_folder_outside(text, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown_text(text.format(here=tmp_path)) == shown


@pytest.mark.parametrize(
    ("variables", "state"),
    [
        ({}, (None, None)),
        ({"LINCONV_GIT_COMMIT": "12e4"}, ("12e4", None)),
        ({"LINCONV_GIT_COMMIT": "12e4", "LINCONV_GIT_DIRTY": "true"}, ("12e4", True)),
        ({"LINCONV_GIT_COMMIT": "12e4", "LINCONV_GIT_DIRTY": "0"}, ("12e4", False)),
        ({"LINCONV_GIT_DIRTY": "false"}, (None, None)),
    ],
)
def test_a_copy_that_is_no_checkout_takes_its_commit_from_the_environment(variables, state, tmp_path, monkeypatch):
    monkeypatch.setattr("linconv.results.provenance.PACKAGE", tmp_path / "linconv")
    for name in ("LINCONV_GIT_COMMIT", "LINCONV_GIT_DIRTY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert git_state() == state
