"""What `--config` of Snakemake lays over a configuration has the types that the same text has in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import parse_config as as_snakemake_reads

from linconv.config import ConfigError
from linconv.config.command_line import with_types

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ('needs={"train": {"mem_mb": 9, "gpu": 0}}', {"train": {"mem_mb": 9, "gpu": 0}}),
        ("needs={train: {gpu: 0}}", {"train": {"gpu": 0}}),
        ("seeds=[0, '1', a, 0.5, null, true]", [0, "1", "a", 0.5, None, True]),
        ("ranking=null", None),
        ("ranking=~", None),
        ("ranking=", None),
        ("compile=true", True),
        ("experiment=2026-11-27", "2026-11-27"),
        ("experiment=1:30", "1:30"),
        ("experiment='x y'", "x y"),
        ("experiment={a: ", "{a: "),
    ],
)
def test_a_value_is_what_it_is_in_a_file(argument: str, value: Any) -> None:
    read = as_snakemake_reads([argument])
    assert with_types({"other": "1", **read}, [argument]) == {"other": "1", next(iter(read)): value}


@pytest.mark.parametrize("name", ["mnist-short", "cifar10-ranking"])
def test_every_key_of_a_configuration_can_be_given_so(name: str) -> None:
    """mnist-short has nulls everywhere, cifar10-ranking options of methods, which no schema types."""
    text = (REPOSITORY / f"results/reference/{name}/config.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    dumped = {key: yaml.safe_dump(value, default_flow_style=True, width=10**6) for key, value in values.items()}
    arguments = [f"{key}={flow.splitlines()[0]}" for key, flow in dumped.items()]  # a second line ends the document
    read = as_snakemake_reads(arguments)
    assert read != values
    assert with_types(read, arguments) == values


def test_what_a_file_holds_beside_it_stays() -> None:
    file = {"needs": {"train": {"mem_mb": 5}, "work": {"gpu": "0"}}}
    argument = "needs={train: {gpu: 1}}"
    merged = {"needs": {"train": {"mem_mb": 5, "gpu": "1"}, "work": {"gpu": "0"}}}
    assert with_types(merged, [argument]) == {"needs": {"train": {"mem_mb": 5, "gpu": 1}, "work": {"gpu": "0"}}}
    assert with_types(file, ["needs={work: {gpu: 7}}"]) == file, "what was replaced since"


def test_a_module_is_given_a_part_of_it() -> None:
    part = {"experiment": "e", "needs": {"train": {"gpu": "0"}}}
    assert with_types(part, ["linconv={needs: {train: {gpu: 0}}}"]) == part | {"needs": {"train": {"gpu": 0}}}


def test_what_a_file_must_not_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--config needs:1: train\.mem_mb: 010 is read as an octal number, 8"):
        with_types(as_snakemake_reads(["needs={train: {mem_mb: 010}}"]), ["needs={train: {mem_mb: 010}}"])
