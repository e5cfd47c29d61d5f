"""Reading result files: what is refused and how; docs/results.md says what the schema says."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from linconv.config import RunKey, resolve_run
from linconv.results import ComplexityResult, ResultError, RunResult, read_result, write_result
from linconv.results.kinds import COLUMNS, KINDS
from linconv.results.manifest import Manifest
from tests.results.factory import make_complexity, make_config, make_run
from tests.scripts import load_script

embed_tables = load_script("docs/embed_tables.py")
PAGE = embed_tables.embedded((Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8"))


def models() -> list[type[BaseModel]]:
    """Every kind of file and every record inside them."""
    roots = [*(kind.record for kind in KINDS.values()), Manifest]
    return list(dict.fromkeys(record for root in roots for record in embed_tables.records(root)))


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_the_page_lists_every_field_with_its_type(model):
    section = re.search(rf"^##+ {model.__name__}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert section, f"docs/results.md has no section {model.__name__}"
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]+) \|$", section[1], re.M)
    assert [(name, text) for name, text, _ in rows] == [
        (name, embed_tables.type_text(field.annotation)) for name, field in model.model_fields.items()
    ]


@pytest.mark.parametrize("name", COLUMNS)
def test_the_page_says_what_a_row_of_every_csv_file_is(name):
    assert f"`{name}.csv`" in "".join(re.findall(r"^\| (`[^|]*) \| [^|]", PAGE, re.M))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "run"])
def test_the_page_says_where_every_kind_of_file_is_and_what_writes_it(name):
    assert re.search(rf"^\| `{name}(?:/<key>)?\.json` \|.*\| `linconv measure {name}` \|$", PAGE, re.M)


def test_a_kind_that_no_page_describes_is_described_by_its_schema():
    text = re.sub(r"^## ProfileResult\n.*?(?=^## Sens)", "", PAGE, flags=re.M | re.S)
    new = embed_tables.new_results(text)
    assert new.startswith("## ProfileResult\n\n| file | content | written by |")
    assert "| `profile/<key>.json` | Time by kind of operation | `linconv measure profile` |" in new
    assert "### KindTime\n" in new
    assert "| `networks` | list of NetworkProfile | networks |" in new
    assert "ThroughputResult" not in new
    assert embed_tables.new_results(PAGE) == ""


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


def test_a_good_file_of_another_kind_is_not_to_be_deleted(tmp_path):
    write_result(tmp_path / "manifest.json", Manifest(files={}))
    with pytest.raises(ResultError) as error:
        read_result(tmp_path / "manifest.json", RunResult)
    assert str(error.value) == (
        f"{tmp_path / 'manifest.json'}: kind: holds a result of the kind 'manifest', and 'run' is expected; "
        "name a file of that kind"
    )


def test_a_file_that_is_not_text_or_not_there(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, said in {"binary": "file: is no UTF-8 text", "nowhere": "cannot be read"}.items():
        with pytest.raises(ResultError, match=f"{name}: {said}"):
            read_result(tmp_path / name, RunResult)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (("data", "name"), "cifar10", "data.name is 'cifar10', the run is of 'digits'"),
        (("data", "split"), 3, "data.split is 3, the run is of 0"),
        (("metrics", "selection"), "best_validation", "config asks for 'last'"),
        (("history", 0, "train_loss"), None, "a loss is null in history"),
    ],
)
def test_a_run_that_contradicts_itself_is_refused(at, value, said):
    """With the right digest too: data of another name, another choice of the epoch, a loss that was not finite."""
    run = make_run(make_config(splits=[0, 1]), RunKey("digits", "base", "conv", 0)).model_dump(mode="json")
    *path, last = at
    place = run
    for name in path:
        place = place[name]
    place[last] = value
    with pytest.raises(ValueError, match=re.escape(said)):
        RunResult.model_validate(run)


def test_the_reported_epoch_is_the_best_on_the_validation_part():
    config = make_config(report_epoch="best_validation", validation={"share": 0.2})
    key = RunKey("digits", "base", "conv", 0)
    run = make_run(make_config(), key).model_dump(mode="json")
    resolved = resolve_run(config, key)
    run |= {"config": resolved.model_dump(mode="json"), "config_hash": resolved.hash}
    for epoch, top1 in zip(run["history"], (60.0, 70.0, 70.0), strict=False):
        epoch["val_top1"] = top1
    of = {}
    for number in range(1, len(run["history"]) + 1):
        chosen = run["history"][number - 1]
        top1 = {"top1": chosen["test_top1"], "test_loss": chosen["test_loss"], "epoch": number}
        train = {name: chosen[name] for name in ("train_top1", "train_loss")}
        run["metrics"] |= {**top1, **train, "selection": "best_validation"}
        run["outcomes"] = None
        try:
            of[number] = RunResult.model_validate(run).metrics.epoch
        except ValueError as error:
            of[number] = "a later one is better" in str(error)
    assert len(of) > 1
    assert of[1] is True
    assert of[2] == 2
