"""Values of Snakemake's `--config`: its parser leaves every number, truth value and null inside of others a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from linconv.config.reading import parse_yaml

_WORDS = {"null": None, "~": None, "true": True, "false": False}


def with_types(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """The configuration with what `--config` laid over it, read as a file is: `{"gpu": 0}` holds a number.

    Args:
        values: what Snakemake has read from files and arguments, or the part of it that a module was given.
        arguments: `key=value`, as they stand on the command line.

    Raises:
        ConfigError: a value that a file must not hold either.
    """
    typed = dict(values)
    for argument in arguments:
        key, _, text = argument.partition("=")
        try:
            told = yaml.load(text, Loader=yaml.BaseLoader)
        except yaml.YAMLError:  # Snakemake takes it for a text
            continue
        # a text on its own keeps what looks like a date or a number to the base 60
        meant = _WORDS.get(told.lower(), told) if isinstance(told, str) else parse_yaml(text, f"--config {key}").value
        if key in typed:
            typed[key] = _replaced(typed[key], told, meant)
        elif isinstance(told, Mapping):
            typed = _replaced(typed, told, meant)
    return typed


def _replaced(value: Any, told: Any, meant: Any) -> Any:
    """`meant` where the value is `told`; Snakemake merges mappings, so one may hold more."""
    if value == told:
        return meant
    if isinstance(value, Mapping) and isinstance(told, Mapping) and isinstance(meant, Mapping):
        both = told.keys() & meant.keys()
        return {k: _replaced(v, told[k], meant[k]) if k in both else v for k, v in value.items()}
    return value
