"""What runs do not have in common stands below every table that averages or pairs them, and below no other."""

from __future__ import annotations

import pytest

from linconv.catalogue.tables import TABLES
from linconv.report import render_tables
from linconv.results import RunResult, read_result, write_result
from linconv.results.collect import collect
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment


def changed(root, at, **origin):
    """Have a run come from elsewhere: another code, other versions, hardware."""
    file = root / at.path / "result.json"
    run = read_result(file, RunResult)
    code = {"code_hash": origin.pop("code_hash")} if "code_hash" in origin else {}
    provenance = run.provenance.model_copy(update=origin)
    write_result(file, run.model_copy(update={"provenance": provenance, **code}))


def notes(root, name):
    text = (root / "tables" / f"{name}.md").read_text()
    return [line.removeprefix("* ") for line in text.splitlines() if "were trained with" in line]


@pytest.fixture
def mixed(tmp_path):
    config = make_config(variants=["conv", "L", "Lr"])
    root = write_experiment(tmp_path, config)
    changed(root, key("L", 1), code_hash="f" * 16)
    for seed in (0, 1, 2):
        changed(root, key("Lr", seed), versions={"torch": "2.11.0"})
    collect(config, root)
    render_tables(root)
    return root


def test_every_table_of_runs_says_what_is_mixed_and_no_other(mixed):
    expected = [
        "Base-L on Digits: runs that are averaged were trained with 2 versions of the training code "
        f"(0123456789abcdef, {'f' * 16}).",
        "Base on Digits: variants that are compared were trained with 2 versions of torch (2.14.1, 2.11.0).",
    ]
    made = {path.stem for path in (mixed / "tables").glob("*.md")}
    assert {name for name in made if TABLES[name].of_runs} >= {"table1", "table1_comparison", "runs", "redundancy"}
    for name in made:
        assert notes(mixed, name) == (expected if TABLES[name].of_runs else []), name
    for suffix in ("html", "tex"):
        assert "2 versions of torch" in (mixed / "tables" / f"table1.{suffix}").read_text()


def test_layers_of_their_own_are_no_versions(tmp_path):
    config = make_config(variants=["conv", "L", "Lr"])
    root = write_experiment(tmp_path, config)
    for seed in (0, 1, 2):
        changed(root, key("L", seed), code_hash="a" * 16)
        changed(root, key("Lr", seed), code_hash="b" * 16)
    collect(config, root)
    render_tables(root)
    assert {
        path.stem: notes(root, path.stem) for path in (root / "tables").glob("*.md") if notes(root, path.stem)
    } == {}


def test_many_cells_are_counted(tmp_path):
    names = [f"v{i}" for i in range(7)]
    config = make_config(variants=["conv", *names], define={n: {"extends": "L"} for n in names}, seeds=[0, 1])
    root = write_experiment(tmp_path, config)
    for name in names:
        changed(root, key(name, 1), versions={"torch": "2.11.0"})
    collect(config, root)
    render_tables(root)
    within, _ = notes(root, "table1")
    assert within.startswith("Base v0 on Digits, Base v1 on Digits, ")
    end = "Base v4 on Digits and 2 more: runs that are averaged were trained with 2 versions of torch (2.14.1, 2.11.0)."
    assert within.endswith(end)
