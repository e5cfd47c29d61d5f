"""Options that would be ignored are refused: single networks beside a configuration, and the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from linconv.cli import measure, runs
from linconv.config import ConfigError
from linconv.config.errors import UserError

COMMANDS = typer.main.get_command(measure.app).commands | {"plan": typer.main.get_command(runs.app).commands["plan"]}  # type: ignore[attr-defined]
VALUES = {"activity": "training", "keep": "0.5"}


def bound() -> Iterator[tuple[str, Any, str, str]]:
    """Command, option, "with" or "without", and the option on which that option depends."""
    for name, command in COMMANDS.items():
        always = {switch for option in command.params if option.required for switch in option.opts}
        for option in command.params:
            words = (getattr(option, "help", None) or "").split()
            if words[:1] in (["with"], ["without"]) and words[1].rstrip(":") not in always:
                yield name, option, words[0], words[1].rstrip(":")


BOUND = list(bound())


def call(name: str, *arguments: str) -> None:
    needed = ["x.yaml"] if name == "plan" else []
    if name == "sensitivity":
        needed = ["--config", "x.yaml"]
    COMMANDS[name].main([*arguments, *needed], standalone_mode=False)


def given(option: Any) -> list[str]:
    return [option.opts[0]] if option.is_flag else [option.opts[0], VALUES.get(option.name, "3")]


def test_every_command_that_measures_one_network_has_such_options():
    named = {(name, option.name) for name, option, *_ in BOUND}
    single = {"complexity", "throughput", "regularizer", "profile", "correctness", "sensitivity"}
    assert {(name, "output") for name in single} <= named
    assert ("plan", "device") in named


@pytest.mark.parametrize(
    ("name", "option", "rule", "other"), BOUND, ids=[f"{name} {option.opts[0]}" for name, option, *_ in BOUND]
)
def test_an_option_that_would_change_nothing_is_refused(name, option, rule, other):
    beside = []
    if rule == "without":
        (switch,) = (p for p in COMMANDS[name].params if other in p.opts)
        beside = given(switch)
    elif other in ("--architecture", "--config") and name != "correctness":
        beside = ["--config", "x.yaml"] if other == "--architecture" else ["--architecture", "base"]
    with pytest.raises(UserError) as refused:
        call(name, *given(option), *beside)
    assert str(refused.value) == f"{option.opts[0]}: counts only {rule} {other}; leave it out, or see --help"


ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "config").iterdir(), *(ROOT / "docs").glob("*.md")]
TEXTS += [*(ROOT / "linconv").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk")]
CALL = re.compile(r"linconv measure ([a-z]+)((?: +[^\s`\"'#;|>]+)*)")
SHOWN = sorted(
    {
        (path.relative_to(ROOT).as_posix(), *found)
        for path in TEXTS
        for found in CALL.findall(re.sub(r"\{[^{}\n]*\}", "VALUE", path.read_text(encoding="utf-8")))
        if found[0] in COMMANDS
    }
)


@pytest.mark.parametrize(("page", "name", "options"), SHOWN)
def test_the_calls_that_are_shown_are_taken(page, name, options):
    """As far as options go: neither one that is unknown nor one that would be ignored."""
    if "--" in options:
        COMMANDS[name].make_context(name, options.split())


def test_calls_are_found():
    assert {"docs/reproduction.md", "docs/layer.md", "linconv/results/merge.py"} <= {page for page, *_ in SHOWN}
    with pytest.raises(UserError, match=r"--output: counts only with --architecture"):
        COMMANDS["complexity"].make_context("complexity", ["--config", "x.yaml", "--output", "x.json"])


def test_options_that_count_are_taken():
    with pytest.raises(ConfigError, match=r"x\.yaml: cannot be read"):
        call("complexity", "--config", "x.yaml", "--results", "r", "--only", "base", "--layers")
