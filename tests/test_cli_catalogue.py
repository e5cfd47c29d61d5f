"""The commands as the catalogue describes them, and the examples of their help."""

import inspect

import pytest
import typer
from typer.testing import CliRunner

from linconv.catalogue.measurements import MEASUREMENTS
from linconv.cli import measure
from linconv.cli.commands import app
from tests.test_cli import config as config


def test_a_command_takes_a_budget_where_the_catalogue_says_so():
    takes = {c.name: "budget" in inspect.signature(c.callback).parameters for c in measure.app.registered_commands}
    assert takes == {name: entry.limited for name, entry in MEASUREMENTS.items() if name != "run"}


def test_every_measurement_has_a_command_and_needs_none_of_its_own(config, tmp_path, monkeypatch):
    assert {command.name for command in measure.app.registered_commands} == set(MEASUREMENTS) - {"run"}
    monkeypatch.setattr(measure, "app", typer.Typer())
    measure._planned_only("complexity", "Counts")
    options = ["--config", str(config), "--results", str(tmp_path)]
    done = CliRunner().invoke(measure.app, options)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "tiny" / "complexity.json").exists()
    assert "base" in done.output


def commands(group=None, path=()):
    """Every command with the words that call it."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_help_ends_with_an_example_that_the_command_takes(path, command, tmp_path, monkeypatch):
    shown = CliRunner().invoke(app, [*path, "--help"])
    lines = [line.strip() for line in shown.stdout.splitlines() if line.strip()]
    start = next(i for i, line in enumerate(lines) if line.startswith("Example: linconv"))
    words = " ".join(lines[start:]).removeprefix("Example: linconv ").split(" > ")[0].split()
    assert tuple(words[: len(path)]) == path
    called = {}
    monkeypatch.setattr(command, "callback", lambda **given: called.update(given))
    monkeypatch.chdir(tmp_path)  # nothing that an example names needs to be there to be understood
    command.main(words[len(path) :], standalone_mode=False)
    assert called
