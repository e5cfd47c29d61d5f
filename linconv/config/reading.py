"""Reading YAML strictly: what YAML would silently read as something else is refused, with its line and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from linconv.config.errors import UserError, explain_unreadable

KeyPath = tuple[str | int, ...]  # the keys and positions that lead to a value

_PREFIX = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_PREFIX + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_MERGE = _PREFIX + "merge"
_DIGITS = 18  # a longer number is a slip


class ConfigError(UserError):
    """A configuration that cannot be used; the message names the key, the value and the remedy."""


class Document(NamedTuple):
    """The values of a file, and the line of each by its place."""

    value: Any
    lines: dict[KeyPath, int]


def read_yaml(path: str | Path) -> Document:
    """Read one YAML document of plain values.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds a key twice, a number that YAML reads otherwise than
            most readers expect (010, 1:30), a date, a tag, an alias to itself, or a key that is no text.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        if path.is_dir():  # Windows says that access is denied
            inside = path / "config.yaml"
            name = f"name {inside}" if inside.is_file() else "name the file"
            raise ConfigError(f"{path}: a folder, where a configuration file is expected; {name}") from None
        raise ConfigError(f"{path}: {explain_unreadable(error)}") from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ConfigError(
            f"{path}: is not UTF-8 text (byte 0x{byte:02x} at position {error.start}); save it as UTF-8"
        ) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Document:
    """Read a text as `read_yaml` reads a file; messages name `source`.

    Raises:
        ConfigError: it is no YAML of plain values.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(None, {})
        lines = _Check(node).lines
        return Document(loader.construct_document(node), lines)
    except _RefusalError as refusal:
        raise ConfigError(f"{source}:{refusal}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}{_explained(error)}") from None
    except RecursionError:
        raise ConfigError(f"{source}: values are nested too deeply") from None


class _RefusalError(Exception):
    def __init__(self, node: Node, place: KeyPath, message: str) -> None:
        key = ".".join(map(str, place))
        super().__init__(f"{node.start_mark.line + 1}: {key}{': ' if key else ''}{message}")


class _Check:
    """Walks through the nodes of a document, each once, notes their lines and refuses what is not read as it looks."""

    def __init__(self, node: Node) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._done: set[int] = set()
        self._above: set[int] = set()
        self._visit(node, ())

    def _visit(self, node: Node, place: KeyPath) -> None:
        if id(node) in self._above:
            raise _RefusalError(node, place, "an alias must not lead to a value that holds it")
        if id(node) in self._done:  # reached by another alias
            return
        if node.tag not in _PLAIN_TAGS:
            is_date = node.tag == f"{_PREFIX}timestamp"
            what = "looks like a date" if is_date else f"the tag {node.tag.replace(_PREFIX, '!!')} is not known"
            raise _RefusalError(node, place, f"{what}; write a plain value, or a text in quotes")
        self._above.add(id(node))
        match node:
            case MappingNode():
                self._visit_entries(node, place)
            case SequenceNode():
                for i, item in enumerate(node.value):
                    self.lines[*place, i] = item.start_mark.line + 1
                    self._visit(item, (*place, i))
            case ScalarNode():
                _check_number(node, place)
        self._above.remove(id(node))
        self._done.add(id(node))

    def _visit_entries(self, node: MappingNode, place: KeyPath) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == _MERGE:
                self._visit(value, place)
                continue
            if key.tag != f"{_PREFIX}str":
                shown = key.value if isinstance(key, ScalarNode) else "that is a list or a mapping"
                raise _RefusalError(key, place, f"the key {shown} is no text; write it in quotes")
            if key.value in seen:
                raise _RefusalError(key, (*place, key.value), f"is given twice, first in line {seen[key.value]}")
            seen[key.value] = self.lines[*place, key.value] = line
            self._visit(value, (*place, key.value))


def _check_number(node: ScalarNode, place: KeyPath) -> None:
    if node.tag not in (f"{_PREFIX}int", f"{_PREFIX}float"):
        return
    text, is_int = node.value, node.tag.endswith("int")
    if ":" in text:
        raise _RefusalError(node, place, f"{text} is read as a number to the base 60; write a plain number")
    if is_int and re.fullmatch(r"[-+]?0[0-9_]+", text):
        octal = int(text.replace("_", ""), 8)
        raise _RefusalError(node, place, f"{text} is read as an octal number, {octal}; write no 0 in front")
    if is_int and len(text) > _DIGITS:
        raise _RefusalError(node, place, f"a number of {len(text)} digits is too large")


def _explained(error: yaml.YAMLError) -> str:
    """What YAML says, in one line after the file's name."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, problem = error.problem_mark.line + 1, " ".join(str(error.problem).split())
        if "'\\t'" in problem:
            return f":{line}: a tab cannot indent; use spaces"
        if "expected a single document" in str(error.context):
            return f":{line}: a second document begins here; give each experiment a file of its own"
        return f":{line}: not valid YAML: {problem}"
    return f": not valid YAML: {' '.join(str(error).split())}"
