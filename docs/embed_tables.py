"""Copy generated tables into the Markdown pages that show them.

A page marks the place with `<!-- table: PATH -->` and `<!-- /table -->`, PATH from the repository's root, with
`<!-- catalogue: KIND -->` and `<!-- /catalogue -->` for the entries of the catalogue, or with
`<!-- text: how-to-read -->` and `<!-- /text -->` for what holds for all tables. `<!-- catalogue: results -->` and
`<!-- catalogue: options -->` hold the kinds of results, and their options, that the page does not describe.
`python docs/embed_tables.py` rewrites README.md, config/README.md and docs/*.md; with `--check` it only
says which page is out of date.

The site is built with the catalogue's entries of the moment (docs/site_hooks.py). A page in git may lack the newest
entries until a release, which `--complete` checks: whoever adds an entry changes no page.
"""

from __future__ import annotations

import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from linconv.catalogue.listing import table as catalogue
from linconv.catalogue.measurements import MEASUREMENTS, Measurements
from linconv.report.verdicts import how_to_read
from linconv.results.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- (table|catalogue|text): (\S+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
NAMES = {str: "text", int: "integer", float: "number", bool: "true/false", type(None): "null"}
TEXTS = {"how-to-read": how_to_read}


def embedded(text: str) -> str:
    """The page with every marked table as it is in the table's file or in the catalogue."""

    def generated(found: re.Match[str]) -> str:
        return f"{found[1]}{_copied(found[2], found[3], written).strip()}\n{found[4]}"

    written = PLACE.sub("", text)

    return PLACE.sub(generated, text)


def _copied(kind: str, name: str, page: str) -> str:
    if kind == "catalogue":
        return NEW[name](page) if name in NEW else catalogue(name)
    return TEXTS[name]() if kind == "text" else (ROOT / name).read_text(encoding="utf-8")


def new_results(page: str) -> str:
    """File, columns and fields of the kinds of results that a page has no section for, from their schema."""
    return "\n\n".join(
        part
        for name, kind in KINDS.items()
        if f"\n## {kind.record.__name__}\n" not in page
        for part in _result(name, page)
    )


def _result(name: str, page: str) -> Iterator[str]:
    kind = KINDS[name]
    file = f"{name}.json" if kind.path(name) == Path(f"{name}.json") else f"{name}/<key>.json"
    yield f"## {kind.record.__name__}"
    yield _table("file, content, written by", [(f"`{file}`", MEASUREMENTS[name].label, f"`linconv measure {name}`")])
    columns = [(f"`{csv}.csv`", ", ".join(f"`{name}`" for name in names)) for csv, names in kind.columns.items()]
    yield _table("collected in, columns", columns)
    for record in records(kind.record):
        if f"# {record.__name__}\n" in page:
            continue
        if record is not kind.record:
            yield f"### {record.__name__}"
        yield (record.__doc__ or "").strip().split("\n")[0]
        fields = [
            (f"`{key}`", type_text(field.annotation), field.description or key.replace("_", " "))
            for key, field in record.model_fields.items()
        ]
        yield _table("field, type, meaning", fields)


def _table(header: str, rows: Sequence[tuple[str, ...]]) -> str:
    names = header.split(", ")
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, ["---"] * len(names), *rows))


def new_options(page: str) -> str:
    """The blocks of a configuration that a page does not name, with their keys and defaults."""
    parts = []
    for name, field in Measurements.model_fields.items():
        (block,) = [t for t in typing.get_args(field.annotation) if t is not type(None)]
        if f"**`{name}`" not in page and f"\n## `{name}`" not in page:
            rows = [(f"`{key}`", f"`{value.default!r}`") for key, value in block.model_fields.items()]
            text = " ".join((block.__doc__ or "").split())
            parts.append(f"**`{name}`**: {text}\n\n{_table('key, default', rows)}")
    return "\n\n".join(parts)


def records(root: type[BaseModel]) -> list[type[BaseModel]]:
    """A record and every record inside it."""
    found: list[type[BaseModel]] = []
    queue: list[Any] = [root]
    while queue:
        item = queue.pop(0)
        if isinstance(item, type) and not typing.get_args(item) and issubclass(item, BaseModel):
            if item not in found:
                found.append(item)
                queue += [field.annotation for field in item.model_fields.values()]
        else:
            queue += [a for a in typing.get_args(item) if not isinstance(a, str | int)]
    return found


def type_text(annotation: Any) -> str:
    """A field's type as pages write it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(json.dumps(a) for a in arguments)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_text(a) for a in arguments)
    if origin in (list, tuple):
        return f"list of {type_text(arguments[0])}"
    if origin is dict:
        key, value = arguments
        return "mapping" if value is Any else f"mapping of {type_text(key)} to {type_text(value)}"
    return NAMES.get(annotation) or annotation.__name__


NEW = {"results": new_results, "options": new_options}


def outdated(text: str, complete: bool = False) -> bool:
    """Whether a page shows what is not so; `complete`: or lacks an entry of the catalogue."""
    shown, wanted = ([_lines(found) for found in PLACE.finditer(page)] for page in (text, embedded(text)))
    return any(
        mine != theirs if complete or kind != "catalogue" else not mine <= theirs
        for (kind, mine), (_, theirs) in zip(shown, wanted, strict=True)
    )


def _lines(found: re.Match[str]) -> tuple[str, set[str]]:
    """What stands at a marked place, its lines without the spaces that align columns."""
    return found[2], {re.sub(r" +|-+", " ", line) for line in found[0].splitlines()}


def main() -> int:
    check = "--check" in sys.argv
    wrong = []
    for page in [ROOT / "README.md", ROOT / "config" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if check and outdated(text, "--complete" in sys.argv):
            wrong.append(str(page.relative_to(ROOT)))
        elif not check and embedded(text) != text:
            page.write_text(embedded(text), encoding="utf-8")
    if wrong:
        sys.stderr.write(f"tables out of date in {', '.join(wrong)}: python docs/embed_tables.py\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
