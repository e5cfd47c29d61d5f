"""Reading result files: what is refused and how; docs/results.md says what the schema says."""

from __future__ import annotations

import json
import re
import types
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from linconv.config import RunKey
from linconv.results import ComplexityResult, ResultError, RunResult, read_result, write_result
from linconv.results.kinds import COLUMNS, KINDS
from linconv.results.manifest import Manifest
from tests.results.factory import make_complexity, make_config, make_run

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
NAMES = {str: "text", int: "integer", float: "number", bool: "true/false", type(None): "null"}


def models() -> list[type[BaseModel]]:
    """Every kind of file and every record inside them."""
    found: list[type[BaseModel]] = []
    queue: list[typing.Any] = [*(kind.record for kind in KINDS.values()), Manifest]
    while queue:
        item = queue.pop(0)
        if isinstance(item, type) and not typing.get_args(item) and issubclass(item, BaseModel):
            if item not in found:
                found.append(item)
                queue += [field.annotation for field in item.model_fields.values()]
        else:
            queue += [a for a in typing.get_args(item) if not isinstance(a, str | int)]
    return found


def type_text(annotation: typing.Any) -> str:
    """A field's type as the page writes it."""
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
        return "mapping" if value is typing.Any else f"mapping of {type_text(key)} to {type_text(value)}"
    return NAMES.get(annotation) or annotation.__name__


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_the_page_lists_every_field_with_its_type(model):
    section = re.search(rf"^##+ {model.__name__}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert section, f"docs/results.md has no section {model.__name__}"
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]+) \|$", section[1], re.M)
    assert [(name, text) for name, text, _ in rows] == [
        (name, type_text(field.annotation)) for name, field in model.model_fields.items()
    ]


@pytest.mark.parametrize("name", COLUMNS)
def test_the_page_says_what_a_row_of_every_csv_file_is(name):
    (section,) = re.findall(r"^## With pandas\n(.*?)(?=^## )", PAGE, re.M | re.S)
    assert f"`{name}.csv`" in "".join(re.findall(r"^\| (`[^|]*) \|", section, re.M))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "run"])
def test_the_page_says_where_every_kind_of_file_is_and_what_writes_it(name):
    assert re.search(rf"^\| `{name}(?:/<key>)?\.json` \|.*\| `linconv measure {name}` \|$", PAGE, re.M)


def test_the_page_s_example_is_run(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    code = re.search(r"```python\n(import pandas.*?)```", PAGE, re.S)
    assert code
    scope: dict[str, typing.Any] = {}
    exec(code[1], scope)
    assert scope["runs"]["top1"].between(0, 100).all()


@pytest.fixture
def result():
    return make_run(make_config(), RunKey("digits", "base", "Lr", 0))


def test_a_result_survives_its_file(result, tmp_path):
    write_result(tmp_path / "result.json", result)
    assert read_result(tmp_path / "result.json", RunResult) == result


@pytest.mark.parametrize("kind", [RunResult, ComplexityResult])
def test_a_newer_version_is_refused_politely(kind, result, tmp_path):
    file = tmp_path / "result.json"
    written = result if kind is RunResult else make_complexity(make_config())
    values = json.loads(written.model_dump_json()) | {"schema_version": 3, "of_tomorrow": 1}
    file.write_text(json.dumps(values))
    with pytest.raises(ResultError) as error:
        read_result(file, kind)
    assert str(error.value) == (
        f"{file}: schema_version: written by a newer linconv (schema 3; this one reads up to 2); update linconv"
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:200], "file: Invalid JSON"),
        (lambda text: "", "file: Invalid JSON"),
        (lambda text: "[1, 2]", "file: Input should be an object"),
        (lambda text: text.replace('"epoch":6,"params"', '"epoch":"six","params"'), "metrics.epoch: "),
        (lambda text: text.replace('"status":"ok"', '"status":"fine"'), "status: "),
        (lambda text: text.replace('"seed":0,"split"', '"split"'), "seed: Field required"),
        (lambda text: text.replace('"kind":"run"', '"kind":"complexity"'), "kind: "),
        (lambda text: text.replace('"schema_version":2', '"schema_version":0'), "schema_version: "),
        (lambda text: text.replace('"train_top1":', '"train_top_1":'), "metrics."),
    ],
)
def test_damage_is_named_with_file_and_field(damage, message, result, tmp_path):
    file = tmp_path / "result.json"
    text = result.model_dump_json()
    assert damage(text) != text
    file.write_text(damage(text))
    with pytest.raises(ResultError) as error:
        read_result(file, RunResult)
    assert str(error.value).startswith(f"{file}: {message}")
    assert "\n" not in str(error.value)
    assert "delete the file" in str(error.value)


def test_a_file_that_is_not_text_or_not_there(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, said in {"binary": "file: is no UTF-8 text", "nowhere": "cannot be read"}.items():
        with pytest.raises(ResultError, match=f"{name}: {said}"):
            read_result(tmp_path / name, RunResult)
