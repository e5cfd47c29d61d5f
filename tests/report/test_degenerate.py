"""Inputs at the edge: each gives tables, figures and claims, or one clear message."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from linconv.config import plan_runs
from linconv.report import render_claims, render_figures, render_tables
from linconv.report.tables import planned_tables
from linconv.results import ResultError
from linconv.results.collect import collect
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment

ONE = {"seeds": [0], "variants": ["conv", "Lr"], "complexity": {"architectures": ["base"]}}
THREE = ONE | {"seeds": [0, 1, 2]}


def all_of(**changes):
    return plan_runs(make_config(**changes))


@pytest.mark.parametrize(
    ("changes", "faults", "page", "said"),
    [
        (ONE, {"skip": all_of(**ONE)}, "tables/runs.md", "No run was collected."),
        (ONE, {"skip": all_of(**ONE)}, "tables/table1.md", "Conv 1 missing; -Lr 1 missing."),
        (ONE, {}, "tables/table1.md", "no sign: fewer than 3 pairs"),
        (ONE, {}, "claims.md", "1 with too few runs"),
        (THREE, {"diverged": all_of(**THREE)}, "tables/table1.md", "Conv 3 diverged; -Lr 3 diverged."),
        (THREE, {"diverged": all_of(**THREE)}, "tables/redundancy.md", "No run with measured filters"),
        (THREE, {"diverged": all_of(**THREE)}, "claims.md", "3 diverged"),
        (THREE, {"skip": [key("Lr", k) for k in range(3)]}, "tables/table1.md", "-Lr 3 missing."),
        (THREE, {"skip": [key("conv", k) for k in range(3)]}, "tables/table1.md", "† absolute accuracy"),
        (THREE | {"variants": ["Lr"]}, {}, "tables/table1.md", "† absolute accuracy"),
        (
            THREE,
            {"top1": {key(v, k): 97.0 for v in ("conv", "Lr") for k in range(3)}},
            "tables/table1.md",
            "No variance",
        ),
    ],
)
def test_every_page_is_made(tmp_path, changes, faults, page, said):
    config = make_config(**changes)
    collect(config, write_experiment(tmp_path, config, **faults), partial=True)
    assert len(render_tables(tmp_path)) == 4 * len(planned_tables(config))
    figures = render_figures(tmp_path)
    assert bool(figures) == (faults.get("skip") != all_of(**changes))
    render_claims(tmp_path)
    assert said in (tmp_path / page).read_text()


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("config.yaml", "architectures: [vgg]", "unknown architecture 'vgg'; did you mean 'vgg11'?"),
        ("data/runs.csv", "", "runs.csv: cannot be read"),
        ("data/layers.csv", "dataset,architecture\n", "layers.csv: no column 'variant'; collect the results again"),
    ],
)
@pytest.mark.parametrize("render", [render_tables, render_figures, render_claims])
def test_what_cannot_be_read_is_one_message(tmp_path, render, path, content, message):
    config = make_config(**ONE)
    collect(config, write_experiment(tmp_path, config))
    text = (tmp_path / path).read_text() if path == "config.yaml" else ""
    (tmp_path / path).write_text(text.replace("- base", "- vgg") if text else content)
    with pytest.raises(ResultError) as error:
        render(tmp_path)
    assert message in str(error.value)


def test_a_damaged_result_is_listed_and_the_rest_rendered(tmp_path):
    config = make_config(**THREE)
    write_experiment(tmp_path, config)
    (tmp_path / key("Lr", 1).path / "result.json").write_text('{"kind": "run"')
    collect(config, tmp_path, partial=True)
    render_tables(tmp_path)
    failures = (tmp_path / "tables" / "failures.md").read_text()
    assert "| damaged" in failures
    assert "(2)" in (tmp_path / "tables" / "table1.md").read_text()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_tables_compile(tmp_path):
    config = make_config(datasets=["cifar10"], variants=["conv", "Lr", "LRr"])
    root = write_experiment(tmp_path / "run", config, skip=[key("LRr", 0, dataset="cifar10")])
    collect(config, root, partial=True)
    bodies = [path.read_text() for path in render_tables(root) if path.suffix == ".tex"]
    head = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
    (tmp_path / "all.tex").write_text(head + "\\clearpage\n".join(bodies) + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Undefined control sequence" not in done.stdout


def test_many_runs_take_little_time(tmp_path):
    """A tenth of what benchmarks/rendering.py measures, with a generous bound on processor time."""
    config = make_config(variants=["conv", "L", "Lr", "LRr"], seeds=list(range(50)))
    write_experiment(tmp_path, config)
    started = time.process_time()
    assert collect(config, tmp_path).collected == 200
    render_tables(tmp_path)
    render_claims(tmp_path)
    assert time.process_time() - started < 60
