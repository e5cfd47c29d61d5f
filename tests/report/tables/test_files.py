"""The files of all tables: sound in every format, the same every time, made without torch."""

from __future__ import annotations

import csv
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from linconv.catalogue.figures import FIGURES
from linconv.catalogue.tables import TABLES
from linconv.config import plan_runs
from linconv.report import render_tables
from linconv.report.plan import plan_outputs
from linconv.report.source import load_experiment
from linconv.report.tables import FORMATS
from linconv.results import ResultError
from linconv.results.collect import collect
from tests.report.conftest import key, markdown_rows, three_faces
from tests.results.factory import make_config


def test_files(collected):
    root = collected()
    paths = render_tables(root)
    made = [table.stem for table in plan_outputs(load_experiment(root), TABLES).made]
    names = [f"tables/{name}.{suffix}" for name in made for suffix in FORMATS]
    assert [p.relative_to(root).as_posix() for p in paths] == [*names, "tables/index.json"]
    assert all(path.stat().st_size for path in paths)


def test_html_tables_are_sound(collected):
    root = three_faces(collected)
    for path in (root / "tables").glob("*.html"):
        text = path.read_text()
        table = ElementTree.fromstring(f"<div>{text}</div>").find("table")
        groups, *names = table.findall("thead/tr")
        width = sum(int(cell.get("colspan", 1)) for cell in groups)
        assert {len(row) for row in table.findall("tbody/tr")} <= {width}, path
        assert len(names) <= 1
        assert table.find("caption").text
        assert "style" not in text
    text = (root / "tables" / "table1.html").read_text()
    assert '<td class="number" data-value="87.606667"><a href="#run-cifar10-base-L">+0.11 [' in text
    assert '<td class="number best" data-value="0.231234"><strong>0.23 (1.74×)</strong></td>' in text


def test_latex_rows_have_as_many_cells_as_columns(collected):
    root = collected(
        datasets=["cifar10", "digits"], define={"a_b": {"layer": "linear"}}, variants=["conv", "Lr", "a_b"]
    )
    for path in render_tables(root):
        if path.suffix != ".tex":
            continue
        text = path.read_text()
        width = len(text.split(r"\begin{tabular}{")[1].split("}")[0])
        rows = [r for r in text.splitlines() if r.endswith(r"\\") and "multicolumn" not in r]
        assert len(rows) >= (3 if path.stem not in ("failures", "speed") else 1)  # these two have nothing to show
        assert {r.count(" & ") + 1 for r in rows} == {width}
        assert "a_b" not in text.replace(r"a\_b", "")
        assert text.count("{") == text.count("}")


def test_csv_files_are_rectangular(collected):
    for path in render_tables(collected()):
        if path.suffix == ".csv":
            rows = list(csv.reader(path.open(newline="")))
            assert len({len(row) for row in rows}) == 1


def test_two_renders_are_equal(collected):
    root = collected(diverged=[key("Lr", 1)])
    first = {path: path.read_bytes() for path in render_tables(root)}
    assert {path: path.read_bytes() for path in render_tables(root)} == first


def test_awkward_names_stay_text(collected):
    """A variant called NA, and hashes and commits that look like numbers, are read as they are written."""
    root = collected(define={"NA": {"layer": "linear"}, "1e5": {"layer": "linear"}}, variants=["conv", "NA", "1e5"])
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert list(rows) == [("Base", "Conv"), ("Base", "NA"), ("Base", "1e5")]
    assert "| 12e45678 |" in (root / "tables" / "runs.md").read_text()


@pytest.mark.parametrize("name", ["config.yaml", "data/runs.csv", "data/correlations.npz"])
def test_missing_data_is_one_clear_error(collected, name):
    root = collected(seeds=[0])
    (root / name).unlink()
    with pytest.raises(ResultError, match=name.rsplit("/", 1)[-1]):
        render_tables(root)


def test_rendering_imports_no_torch(collected):
    root = collected(seeds=[0], variants=["conv", "Lr"])
    code = (
        "import sys; from linconv.report import render_claims, render_figures, render_tables;"
        f"render_tables({str(root)!r}); render_figures({str(root)!r}); render_claims({str(root)!r});"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    repository = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = plan_outputs(load_experiment(root), FIGURES).made
    assert len(figures) >= 8
    assert len(list((root / "figures").iterdir())) == len(figures) + 1  # and the index


def test_no_run_and_no_complexity_still_give_tables(collected):
    root = collected(seeds=[0], skip=plan_runs(make_config(seeds=[0])))
    (root / "complexity.json").unlink()
    collect(make_config(seeds=[0]), root, partial=True)
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert {row[2] for row in rows.values()} == {"-"}
    assert "No run was collected." in (root / "tables" / "runs.md").read_text()
    assert "18 not counted in this experiment" in (root / "tables" / "paper_columns.md").read_text()
