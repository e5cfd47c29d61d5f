"""The syntax tree of a module as text, the same under every version of Python; needs the standard library alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def syntax_text(tree: ast.Module) -> str:
    """The tree without comments, docstrings, positions and empty fields."""
    words: list[str] = []
    _write(tree, words)
    return "\0".join(words)


def _write(value: object, words: list[str]) -> None:
    if isinstance(value, ast.AST):
        words.append(type(value).__name__)
        for name in value._fields:
            content: Any = getattr(value, name, None)
            if name == "body" and isinstance(value, _DOCUMENTED):
                content = content[1:] if ast.get_docstring(value, clean=False) is not None else content
            elif name == "values" and isinstance(value, ast.JoinedStr):
                content = list(_joined(content))
            if content is not None and content != []:
                words.append(name)
                _write(content, words)
    elif isinstance(value, list):
        words.append("[")
        for item in value:
            _write(item, words)
        words.append("]")
    else:
        words.append(ascii(value))  # what `repr` escapes changes with the version of Unicode


def _joined(parts: list[ast.expr]) -> Iterator[ast.expr]:
    """The parts of an f-string, neighboring texts as one: versions of Python split them in different ways."""
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant):
            text += str(part.value)
            continue
        if text:
            yield ast.Constant(text)
        text = ""
        yield part
    if text:
        yield ast.Constant(text)
