"""What is made of an experiment is decided by what was collected: files, index and page always agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time

import pytest
from matplotlib.figure import Figure

from linconv.catalogue.figures import FIGURES
from linconv.catalogue.outputs import RUNS, Output
from linconv.catalogue.tables import TABLES
from linconv.config import plan_runs
from linconv.report import build_report, render_claims, render_figures, render_tables
from linconv.report.plan import plan_outputs
from linconv.report.source import load_experiment
from linconv.report.table import NETWORK, Column, Rows, count
from linconv.results import ResultError
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment, write_timings

ONE = {"seeds": [0], "variants": ["conv", "Lr"], "complexity": {"architectures": ["base"]}}
THREE = ONE | {"seeds": [0, 1, 2]}
GRID = {"architectures": ["base"], "variants": ["Lr"], "batches": [1, 8], "rounds": 3}
TIMED = ONE | {"throughput": GRID}
PEAKS = {"plain": 1.0, "auto": 0.6}
TIMING_FIGURES = {"speed", "memory", "throughput_base"}


def all_of(**changes):
    return plan_runs(make_config(**changes))


def left_out(arm, status="out of memory"):
    arm.update(status=status, seconds_per_call=[], calls=0, peak_allocated_mib=None)


def unsupported(record):
    """What `linconv measure throughput` writes of tf32 on a CPU."""
    for arm in record["arms"]:
        left_out(arm, "not supported")


def does_not_fit(record):
    for arm in record["arms"]:
        left_out(arm)


def plain_fits_once(record):
    """Nothing is compared, but the peak memory of what fitted is known."""
    for arm in record["arms"]:
        peak = arm["peak_allocated_mib"]
        left_out(arm)
        arm["peak_allocated_mib"] = None if arm["name"] == "plain again" else peak


def only_plain_fits(record):
    for arm in record["arms"]:
        if arm["form"] != "plain":
            left_out(arm)


def only_batch_1_fits(record):
    if record["batch_size"] > 1:
        does_not_fit(record)


def unknown_memory(record):
    for arm in record["arms"]:
        arm["peak_allocated_mib"] = None


def same(record):
    """All that was planned was measured."""


LR, CONV = ([key(variant, k) for k in range(3)] for variant in ("Lr", "conv"))
# What is collected -> the figures that are not made.
NO_ANSWER = {"answer_digits_base"}
NO_RUN = {*NO_ANSWER, "pareto_digits", "differences_digits", "panels_digits_base", "curves_digits_base"}
NO_FILTERS = {"correlations_digits_base", "redundancy_digits_base", "filters_digits_base"}
CASES = {
    "no timings planned": (ONE, {}, None, {"speed", "memory"}),
    "all timed": (TIMED, {}, same, set()),
    "a precision that is not supported": (TIMED, {}, unsupported, TIMING_FIGURES),
    "everything out of memory": (TIMED, {}, does_not_fit, TIMING_FIGURES),
    "the plain network fits once": (TIMED, {}, plain_fits_once, {"speed", "throughput_base"}),
    "only the plain network fits": (TIMED, {}, only_plain_fits, {"speed", "memory"}),
    "one batch fits": (TIMED, {}, only_batch_1_fits, set()),
    "memory unknown": (TIMED, {}, unknown_memory, {"memory"}),
    "one batch": (ONE | {"throughput": GRID | {"batches": [8]}}, {}, same, {"throughput_base"}),
    "training only": (ONE | {"throughput": GRID | {"activities": ["training"]}}, {}, same, set()),
    "inference only": (ONE | {"throughput": GRID | {"activities": ["inference"]}}, {}, same, set()),
    "no timing is there yet": (TIMED, {}, None, TIMING_FIGURES),
    "one variant": (ONE | {"variants": ["conv"]}, {}, None, {"speed", "memory", *NO_ANSWER}),
    "no plain network": (THREE | {"variants": ["Lr"]}, {}, None, {"speed", "memory", *NO_ANSWER}),
    "no run": (ONE, {"skip": all_of(**ONE)}, None, {"speed", "memory", *NO_RUN, *NO_FILTERS}),
    "all diverged": (THREE, {"diverged": all_of(**THREE)}, None, {"speed", "memory", *NO_ANSWER, *NO_FILTERS}),
    "a variant without a run": (THREE, {"skip": LR}, None, {"speed", "memory", *NO_ANSWER}),
    "a baseline without a run": (THREE, {"skip": CONV}, None, {"speed", "memory", *NO_ANSWER}),
    "equal accuracies": (
        THREE,
        {"top1": {key(v, k): 97.0 for v in ("conv", "Lr") for k in range(3)}},
        None,
        {"speed", "memory"},
    ),
    "another network timed": (ONE | {"throughput": GRID | {"architectures": ["vgg11"]}}, {}, same, set()),
    "no run that the heat maps show": (
        ONE | {"figures": {"formats": ["svg"], "heatmap_variants": ["Lr"]}},
        {"skip": [key("Lr")]},
        None,
        {"speed", "memory", "correlations_digits_base", *NO_ANSWER},
    ),
}
KNOWN = set().union(*(expected for *_, expected in CASES.values()))  # what another figure needs is its own affair


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("case", CASES)
def test_files_index_and_page_have_what_is_planned(tmp_path, case):
    changes, faults, timing, expected = CASES[case]
    config = make_config(**changes)
    write_experiment(tmp_path, config, **faults)
    if timing is not None:
        write_timings(tmp_path, config, {"auto": 0.7}, memory=PEAKS)
        for path in (tmp_path / "throughput").iterdir():
            record = json.loads(path.read_text())
            timing(record)
            path.write_text(sealed_text(record))
    collect(config, tmp_path, partial=True)
    experiment = load_experiment(tmp_path)
    for folder, outputs, write in (("tables", TABLES, render_tables), ("figures", FIGURES, render_figures)):
        planned = plan_outputs(experiment, outputs)
        paths = write(tmp_path)
        assert len(paths) == len(set(paths))
        assert {p.name for p in (tmp_path / folder).iterdir()} == {p.name for p in paths}
        assert {p.stem for p in paths} == {p.stem for p in planned.made} | {"index"}
        index = json.loads((tmp_path / folder / "index.json").read_text())
        assert {entry["name"] for entry in index["made"]} == {p.stem for p in planned.made}
        assert {name for entry in index["made"] for name in entry["files"]} == {p.name for p in paths[:-1]}
        assert {entry["name"]: entry["why"] for entry in index["left out"]} == {
            p.stem: p.why_not for p in planned.left_out
        }
        assert all(entry["why"] for entry in index["left out"])
    assert {p.stem for p in plan_outputs(experiment, FIGURES).left_out} & KNOWN == expected
    render_claims(tmp_path)


@pytest.mark.usefixtures("sketched")
def test_the_page_has_what_is_planned_and_says_why_not_the_rest(collected):
    root = collected(**TIMED, diverged=[key("Lr")])
    experiment = load_experiment(root)
    page = build_report(root).read_text()
    for kind, outputs in (("table", TABLES), ("figure", FIGURES)):
        planned = plan_outputs(experiment, outputs)
        shown = set(re.findall(rf'id="[^"]*-{kind}-(\w+)"', page))
        assert shown == {p.stem for p in planned.made}
        assert planned.left_out
        assert all(f"<li>{p.title}: {p.why_not}.</li>" in page for p in planned.left_out)


@pytest.mark.parametrize(
    ("changes", "faults", "page", "said"),
    [
        (ONE, {"skip": all_of(**ONE)}, "tables/runs.md", "No run was collected."),
        (ONE, {"skip": all_of(**ONE)}, "tables/table1.md", "Conv 1 missing; Lr 1 missing."),
        (ONE, {}, "tables/table1.md", "no sign: fewer than 3 runs"),
        (ONE, {}, "claims.md", "1 with too few runs"),
        (THREE, {"diverged": all_of(**THREE)}, "tables/table1.md", "Conv 3 diverged; Lr 3 diverged."),
        (THREE, {"diverged": all_of(**THREE)}, "tables/redundancy.md", "No run with measured filters"),
        (
            THREE,
            {"diverged": all_of(**THREE)},
            "claims.md",
            "did not finish either, which decides nothing: Base-Lr on Digits 3 of 3",
        ),
        (THREE, {"skip": [key("Lr", k) for k in range(3)]}, "tables/table1.md", "Lr 3 missing."),
        (THREE, {"skip": [key("conv", k) for k in range(3)]}, "tables/table1.md", "† absolute accuracy"),
        (THREE | {"variants": ["Lr"]}, {}, "tables/table1.md", "† absolute accuracy"),
        (THREE, CASES["equal accuracies"][1], "tables/table1.md", "no run varies"),
    ],
)
def test_what_is_missing_is_said(tmp_path, changes, faults, page, said):
    config = make_config(**changes)
    collect(config, write_experiment(tmp_path, config, **faults), partial=True)
    render_tables(tmp_path)
    render_claims(tmp_path)
    assert said in (tmp_path / page).read_text()


def own_table(experiment):
    rows = Rows([NETWORK, Column("runs")])
    for name in experiment.config.architectures:
        rows.add(name, count(len(experiment.runs)))
    return rows.table("Mine."), experiment.runs


def own_figure(experiment, dataset):
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot(experiment.runs["top1"])
    return figure, f"Mine on {dataset}."


def test_a_table_and_a_figure_are_a_function_and_an_entry(collected, monkeypatch):
    """Nothing else is touched: files, index and page have them."""
    where = {"label": "My own", "caption": "Mine."}
    table = Output(name="own", target=f"{__name__}:own_table", **where)
    figure = Output(name="own", target=f"{__name__}:own_figure", per="dataset", needs=RUNS, **where)
    monkeypatch.setitem(TABLES, "own", table)
    monkeypatch.setitem(FIGURES, "own", figure)
    root = collected(**ONE)
    assert {f"own.{suffix}" for suffix in ("md", "tex", "csv", "html")} <= {p.name for p in render_tables(root)}
    assert "own_digits.svg" in {p.name for p in render_figures(root)}
    page = build_report(root).read_text()
    assert "My own: Digits" in page
    assert "<caption>My own</caption>" in page
    assert r"\label{tab:own}" in (root / "tables" / "own.tex").read_text()


def test_every_entry_names_a_function_and_a_caption():
    for outputs in (TABLES, FIGURES):
        for name, output in outputs.items():
            assert callable(output.load()), name
            assert output.caption.endswith("."), name
            assert output.caption.isascii(), name


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("config.yaml", "architectures: [vgg]", "unknown architecture 'vgg'; did you mean 'vgg11'?"),
        ("data/runs.csv", "", "data/runs.csv: is not the file that was collected; collect the results again"),
        ("data/correlations.npz", "", "data/correlations.npz: is not the file that was collected; collect"),
        ("data/manifest.json", "{}", "data/manifest.json: files: Field required; delete the file"),
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
