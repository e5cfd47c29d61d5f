"""Reading a configuration: one readable message for whatever is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from linconv.config.checks import check_whole
from linconv.config.names import nearest
from linconv.config.reading import ConfigError, KeyPath, read_yaml
from linconv.config.schema import Config

# what pydantic adds to the place of an error inside a union, and no key of the file
UNION_MEMBERS = ("int", "float", "LinearOptions", "Variant", "Margins")


def load_config(path: str | Path) -> Config:
    """Read and check a YAML configuration file.

    Raises:
        ConfigError: the file is missing, is not plain YAML, or does not describe an experiment.
    """
    document = read_yaml(path)
    return parse_config(document.value, str(path), document.lines)


def merged_config(values: Mapping[str, Any], files: Sequence[str | Path]) -> Config:
    """Check what another program has read from `files`, one laid over the other, with values laid over them.

    The files are read again, strictly; messages name the line of what was not replaced.

    Raises:
        ConfigError: as `load_config` does.
    """
    read: dict[str, Any] = {}
    lines: dict[KeyPath, int] = {}
    for file in files:
        document = read_yaml(file)
        if isinstance(document.value, dict):
            read |= document.value
            lines = {place: line for place, line in lines.items() if place[0] not in document.value} | document.lines
    replaced = {key for key, value in values.items() if key in read and value != read[key]}
    kept = {place: line for place, line in lines.items() if place[0] not in replaced}
    return parse_config(values, ", ".join(map(str, files)) or "configuration", kept if len(files) == 1 else None)


def parse_config(raw: Any, source: str = "configuration", lines: Mapping[KeyPath, int] | None = None) -> Config:
    """Check a configuration that is already a mapping.

    Args:
        source: names it in messages, usually its file.
        lines: where values stand in that file, if known.

    Raises:
        ConfigError: it does not describe an experiment.
    """
    if not isinstance(raw, Mapping):
        what = "the file is empty" if raw is None else f"this is {type(raw).__name__}"
        raise ConfigError(f"{source}: a mapping of keys to values is expected, but {what}")
    try:
        settings = Config.model_validate(dict(raw))
    except ValidationError as error:
        # an entry that is wrong is left out before the list's length is checked: only its own message tells
        found = [e for e in error.errors() if not (e["type"] == "too_short" and e["input"])]
        # options that do not fit LinearConv are no instance of another layer's either: the first message tells
        found = [e for e in found if e["type"] != "is_instance_of"] or found
        messages = (_explain(e) for e in found)
        told = dict.fromkeys(placed(message, source, lines or {}) for message in messages)
        raise ConfigError("\n".join(told)) from None
    except RecursionError:
        raise ConfigError(f"{source}: values are nested too deeply") from None
    try:
        check_whole(settings)
    except ValueError as error:
        raise ConfigError(placed(str(error), source, lines or {})) from None
    return settings


def placed(message: str, source: str, lines: Mapping[KeyPath, int]) -> str:
    """The message after the file, and after the line of the key that it begins with, as far as that is known."""
    key = re.match(r"[\w.+-]+(?=: )", message)
    steps: KeyPath = tuple(int(s) if s.isdigit() else s for s in key[0].split(".")) if key else ()
    for count in range(len(steps), 0, -1):
        if (line := lines.get(steps[:count])) is not None:
            return f"{source}:{line}: {message}"
    return f"{source}: {message}"


def _explain(error: Any) -> str:
    """One pydantic error as one line: key, value, what is wrong, remedy."""
    steps = [s for s in error["loc"] if not (isinstance(s, str) and ("[" in s or s in UNION_MEMBERS))]
    key = ".".join(str(s) for s in steps)
    value = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; {nearest(str(steps[-1]), _fields_at(steps[:-1]))}"
        case "missing":
            return f"{key}: missing"
        case "value_error":
            message = str(error["ctx"]["error"])
            if isinstance(value, Mapping | BaseModel):  # a check of the whole mapping: its message says where
                return f"{key}: {message}" if key else message
            return f"{key}: {message}" + (
                "" if isinstance(value, str) and repr(value) in message else f" (got {_short(value)})"
            )
        case "tuple_type":
            return f"{key}: a list is expected (got {_short(value)})"
        case "too_short":
            return f"{key}: the list is empty; give at least one entry"
        case "string_type" if isinstance(value, bool):
            return f"{key}: a text is expected; yes, no, on, off, true and false need quotes (got {value})"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]} (got {_short(value)})"


def _short(value: Any) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields_at(steps: list[Any]) -> list[str]:
    """The keys that a configuration has at the place `steps` leads to."""
    schema = Config.model_json_schema()
    node: Any = schema
    for step in steps:
        node = _resolve(node, schema)
        if isinstance(step, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(step) or node.get("additionalProperties") or _pattern(node)
    return list(_resolve(node, schema).get("properties", {}))


def _pattern(node: Any) -> Any:
    return next(iter(node.get("patternProperties", {}).values()), {})


def _resolve(node: Any, schema: Any) -> Any:
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            node = option
            break
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node
