"""The rendered tables of synthetic experiments."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest

from linconv.config import plan_runs
from linconv.measure.complexity import measure_grid
from linconv.report import render_tables
from linconv.report.figures import FIGURES
from linconv.report.formats import MISSING
from linconv.report.paper import published
from linconv.report.tables import FORMATS, planned_tables
from linconv.results import ResultError, RunResult, RunWarning, read_result, write_result
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import UNTIMED, key
from tests.results.factory import make_config, read_rows

NETWORKS = ["base", "vgg11", "allconv", "resnet18", "resnext29", "mobilenetv2"]


def markdown_rows(path):
    """Cells by network and variant (the first two columns) of a Markdown table."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    cells = [[c.strip().removeprefix("**").removesuffix("**") for c in line.strip("|").split(" | ")] for line in lines]
    return cells[0], {(row[0], row[1]): row for row in cells[2:]}


def test_published_numbers():
    table = published()
    assert len(table) == 18
    assert table["resnext29", "LRr"] == {
        **{"cifar10": "+0.8", "cifar100": "-2.9", "svhn": "-0.7", "mnist": "+0.1", "fashionmnist": "-0.3"},
        **{"params_m": "4.71", "flops_b": "1.691"},
    }
    assert published("table2")["vgg11", "basis"]["params_m"] == "1.99"


def test_files(collected):
    root = collected()
    paths = render_tables(root)
    names = [f"tables/{name}.{suffix}" for name in planned_tables(make_config()) for suffix in FORMATS]
    assert [p.relative_to(root).as_posix() for p in paths] == names
    assert all(path.stat().st_size for path in paths)


def test_excluded_cells_have_no_row_no_gap_and_no_number(collected):
    holes = [
        {"architectures": ["vgg11"], "variants": ["L"]},
        {"datasets": ["cifar10"], "architectures": ["base"], "variants": ["L"]},
    ]
    root = collected(
        datasets=["digits", "cifar10"], architectures=["base", "vgg11"], variants=["conv", "L"], exclude=holes
    )
    render_tables(root)
    text = (root / "tables" / "table1.md").read_text()
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert set(rows) == {("Base", "Conv"), ("Base", "-L"), ("VGG11", "Conv")}
    assert rows["Base", "-L"][3] == MISSING
    assert "missing" not in text
    records = read_rows(root / "tables" / "table1.csv")
    assert len(records) == 5


def three_faces(collected):
    accuracies = {key("conv", k, dataset="cifar10"): x for k, x in enumerate((87.0, 87.5, 88.0))}
    accuracies |= {key("Lr", k, dataset="cifar10"): x for k, x in enumerate((86.0, 87.0, 88.0))}
    accuracies |= {key("L", k, dataset="cifar10"): x for k, x in enumerate((87.1, 87.6, 88.12))}
    root = collected(datasets=["cifar10", "digits"], variants=["conv", "L", "Lr"], top1=accuracies)
    render_tables(root)
    return root


def test_table1_prints_differences_with_the_outcome_of_their_test(collected):
    root = three_faces(collected)
    header, rows = markdown_rows(root / "tables" / "table1.md")
    assert header[:5] == ["network", "variant", "top-1 (%) CIFAR-10", "top-1 (%) Digits", "params (M)"]
    assert rows["Base", "Conv"][2] == "87.50 ± 0.50 (3)"
    assert rows["Base", "-Lr"][2] == "-0.50 ± 0.50 (3) ?"
    # L: differences 0.1, 0.1, 0.12: mean 0.106667, sd 0.011547, t = 16 and p = 0.00388, times 4 tests = 0.0155 (Holm)
    assert rows["Base", "-L"][2] == "+0.11 ± 0.01 (3) ≈≠"
    assert rows["Base", "-Lr"][4:] == ["0.23 (1.74×)", "0.060 (0.28×)", "15.2", "15.2"]
    text = (root / "tables" / "table1.md").read_text()
    assert "| **+0.11 ± 0.01 (3) ≈≠** |" in text
    assert "over the 4 cells of this experiment that have 3 or more pairs, at level 0.05" in text
    assert "≈≠ equivalent within ±1, though different from 0" in text
    records = read_rows(root / "tables" / "table1.csv")
    record = next(r for r in records if (r["dataset"], r["variant"]) == ("cifar10", "L"))
    assert record["outcome"] == "equivalent"
    assert float(record["p_difference"]) == pytest.approx(0.003884, abs=1e-6)
    assert float(record["p_difference_holm"]) == pytest.approx(4 * 0.003884, abs=4e-6)


def test_table1_beside_the_papers(collected):
    root = three_faces(collected)
    header, rows = markdown_rows(root / "tables" / "table1_comparison.md")
    assert header[2:6] == ["CIFAR-10 ours", "CIFAR-10 paper", "CIFAR-10 deviation", "params (M) ours"]
    assert list(rows) == [("Base", "Conv"), ("Base", "-Lr")]  # the paper has no L
    assert rows["Base", "Conv"][2:5] == ["87.50 ± 0.50 (3)", "87.2", "+0.30"]
    assert rows["Base", "-Lr"][2:5] == ["-0.50 ± 0.50 (3) ?", "-0.1", "-0.40"]
    assert rows["Base", "-Lr"][5:] == [*("0.23 (1.74×)", "0.23", "+0.00"), *("0.060 (0.28×)", "0.060", "+0.000")]
    assert "Epochs trained here: 6." in (root / "tables" / "table1_comparison.md").read_text()
    record = read_rows(root / "tables" / "table1_comparison.csv")[1]
    expected = {"cifar10_ours": -0.5, "cifar10_paper": -0.1, "cifar10_deviation": -0.4}
    assert {name: float(record[name]) for name in expected} == expected


def test_table1_as_the_paper_prints_it(collected):
    root = collected(seeds=[0], variants=["conv"])
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1_paper.md")
    assert len(rows) == 18
    assert rows["ResNeXt-29", "-LRr"][2:] == ["+0.8", "-2.9", "-0.7", "+0.1", "-0.3", "4.71 (1.94×)", "1.691 (0.84×)"]
    records = {(r["architecture"], r["variant"]): r for r in read_rows(root / "tables" / "table1_paper.csv")}
    assert float(records["resnext29", "LRr"]["cifar100"]) == 73.4  # 76.3 - 2.9
    assert "No network and variant" not in (root / "tables" / "table1_comparison.md").read_text()


def test_what_is_defined_otherwise_is_not_beside_the_papers(collected):
    root = collected(seeds=[0], define={"Lr": {"extends": "Lr", "skip_first": True}})
    render_tables(root)
    path = root / "tables" / "table1_comparison.md"
    assert ("Base", "-Lr") not in markdown_rows(path)[1]
    assert "Not beside the paper's, since this experiment defines them otherwise: -Lr." in path.read_text()


def test_table2_shows_what_no_run_stands_behind(collected):
    root = collected(architectures=["vgg11"], datasets=["cifar10"], variants=["conv", "LRr"], seeds=[0, 1])
    render_tables(root)
    header, rows = markdown_rows(root / "tables" / "table2.md")
    assert len(rows) == 6
    at = header.index("CIFAR-10 ours")
    assert rows["VGG11", "Conv"][at].endswith("(2)")
    assert rows["VGG11", "Basis"][at : at + 2] == ["not run", "-0.1"]
    assert rows["SqueezeNet", "-LRr"][at] == "not run"
    assert rows["VGG11", "Conv"][header.index("SVHN ours")] == "not run"
    assert rows["VGG11", "Conv"][header.index("params (M) ours") :][:2] == ["9.23", "9.23"]
    assert "averages the maps" not in (root / "tables" / "table2.md").read_text()


def test_table2_says_where_our_octave_convolution_departs(collected):
    octconv = {"variants": ["conv", "octconv"], "define": {"octconv": {"layer": "octconv"}}}
    root = collected(architectures=["vgg11"], datasets=["cifar10"], seeds=[0], **octconv)
    render_tables(root)
    assert "our VGG11-OctConv averages the maps at half resolution" in (root / "tables" / "table2.md").read_text()


def test_table2_names_the_variant_that_stands_for_a_row(collected):
    options = {"define": {"LRr_preserving": {"extends": "LRr", "options": {"init": "variance_preserving"}}}}
    options["exclude"] = [
        {"architectures": ["squeezenet"], "variants": ["LRr"]},
        {"architectures": ["vgg11"], "variants": ["LRr_preserving"]},
    ]
    names = ["conv", "LRr", "LRr_preserving"]
    both = ["squeezenet", "vgg11"]
    root = collected(architectures=both, datasets=["cifar10"], variants=names, seeds=[0, 1], **options)
    render_tables(root)
    path = root / "tables" / "table2.md"
    header, rows = markdown_rows(path)
    at = header.index("CIFAR-10 ours")
    assert rows["SqueezeNet", "-LRr"][at].endswith("(2)")
    assert rows["VGG11", "-LRr"][at].endswith("(2)")
    assert "SqueezeNet -LRr is -LRr preserving here." in path.read_text()


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
    link = '<a href="#run-cifar10-base-L"><strong>+0.11 ± 0.01 (3) ≈≠</strong></a>'
    assert f'<td class="number best" data-value="87.606667">{link}</td>' in text
    assert '<td class="number best" data-value="0.231234"><strong>0.23 (1.74×)</strong></td>' in text


def test_table1_shows_what_is_missing(collected):
    skip = [key("conv", k, "vgg11") for k in range(3)]
    root = collected(architectures=["base", "vgg11"], skip=skip, diverged=[key("L", k) for k in range(3)])
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert rows["Base", "-L"][2] == "-"
    assert rows["VGG11", "Conv"][2] == "-"
    assert rows["VGG11", "-Lr"][2].endswith("(3) †")
    text = (root / "tables" / "table1.md").read_text()
    assert "Base on Digits: of 3 runs each, -L 3 diverged." in text
    assert "VGG11 on Digits: of 3 runs each, Conv 3 missing." in text
    assert "† absolute accuracy" in text
    shares = "Base on Digits 62 %, VGG11 on Digits 62 %, wanted 50 %."
    assert f"-LSr: share of zero coefficients after training (mean): {shares}" in text
    assert (root / "tables" / "runs.md").read_text().count("| diverged |") == 3
    failures = (root / "tables" / "failures.md").read_text()
    assert failures.count("| diverged |") == 3
    assert failures.count("| missing") == 3


def test_paper_columns(collected):
    render_tables(root := collected(variants=["conv", "Lr", "LRr"]))
    cells = read_rows(root / "tables" / "paper_columns.csv")
    verdicts = {(c["architecture"], c["variant"], c["column"]): c["equal"] for c in cells}
    assert len(verdicts) == 36
    special = {
        ("allconv", "Lr", "flops_b"): "as released",
        ("allconv", "LRr", "flops_b"): "as released",
        ("resnet18", "Lr", "flops_b"): "as released",
        ("mobilenetv2", "LRr", "flops_b"): "truncated",
    }
    assert {at: v for at, v in verdicts.items() if v != "yes"} == special
    quirky = next(c for c in cells if (c["architecture"], c["variant"], c["column"]) == ("resnet18", "Lr", "flops_b"))
    assert [quirky[n] for n in ("paper", "ours", "as_released", "quirk")] == [
        *("3.074", "3.007", "3.074", "bias in every layer")
    ]
    text = (root / "tables" / "paper_columns.md").read_text()
    assert "18 of 18 parameter cells are equal." in text
    assert "14 of 18 FLOP cells are equal, 3 more with a quirk of the released code, 1 more where" in text
    assert "as released [2]" in text
    assert "[2] bias in every layer" in text


def test_paper_columns_tell_a_wrong_count(collected):
    root = collected(variants=["conv", "Lr"], complexity={"architectures": ["base", "mobilenetv2"]})
    record = json.loads((root / "complexity.json").read_text())
    for model in record["models"]:
        model["params"] += 10_000  # one unit of the last printed digit
    # cut, 16.3989 prints as the paper's 16.398: without a stated quirk that is no equality
    record["models"][3]["flops_paper"] = 16_398_900_000
    (root / "complexity.json").write_text(sealed_text(record))
    same = make_config(variants=["conv", "Lr"], complexity={"architectures": ["base", "mobilenetv2"]})
    collect(same, root, partial=True)
    render_tables(root)
    cells = read_rows(root / "tables" / "paper_columns.csv")
    counted = {
        (c["architecture"], c["variant"], c["column"]): c["equal"] for c in cells if c["equal"] not in ("missing",)
    }
    assert len(counted) == 8
    assert {v for at, v in counted.items() if at[2] == "params_m"} == {"no"}
    assert counted["mobilenetv2", "Lr", "flops_b"] == "no"
    assert counted["base", "Lr", "flops_b"] == "yes"


def test_the_quality_of_filters_is_a_mean_over_layers_and_runs(collected):
    root = collected(variants=["conv", "L"])
    for seed in range(3):
        path = root / key("L", seed).path / "result.json"
        record = json.loads(path.read_text())
        for layer, sparsity, entropy in zip(record["layers"], (0.0, 0.1, 0.2), (0.9, 0.6, None), strict=True):
            layer["kernel_sparsity"] = sparsity + 0.001 * seed
            layer["kernel_variance_entropy"] = entropy
        path.write_text(sealed_text(record))
    collect(make_config(variants=["conv", "L"]), root)
    render_tables(root)
    lines = (root / "tables" / "filter_quality.md").read_text().splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line[:1] == "|"]
    assert header[3:] == ["layers", "kernel sparsity (%)", "kernel variance entropy", "filter orthogonality"]
    shown = {row[2]: row[3:] for row in rows}
    assert shown["Conv"] == ["3", "0.00 → 4.00", "0.900 → 0.700", "0.950 → 0.850"]
    assert shown["-L"] == ["3", "0.00 → 10.10", "0.900 → 0.750", "0.950 → 0.850"]
    record = read_rows(root / "tables" / "filter_quality.csv")[2]
    assert (record["variant"], record["stage"], record["kernel_sparsity"]) == ("L", "after", "0.101")


def test_layers_that_cannot_become_orthogonal_are_named_below_the_tables(collected):
    root = collected(variants=["conv", "L"], seeds=[0, 1])
    for seed in range(2):
        path = root / key("L", seed).path / "result.json"
        found = RunWarning(code="never_orthogonal", layer="features.conv2", message="a rank of 64 is needed")
        write_result(path, read_result(path, RunResult).model_copy(update={"warnings": [found]}))
    collect(make_config(variants=["conv", "L"], seeds=[0, 1]), root)
    render_tables(root)
    for name in ("runs", "filter_quality"):
        notes = [line for line in (root / "tables" / f"{name}.md").read_text().splitlines() if line.startswith("* ")]
        assert len(notes) == 1
        assert notes[0].startswith("* Base-L on Digits: conv_orthogonal is applied to layers that no filters make")
        assert notes[0].endswith(": features.conv2: a rank of 64 is needed.")
    runs = pd.read_csv(root / "data" / "runs.csv").drop(columns="never_orthogonal")  # as collected before it was known
    runs.to_csv(root / "data" / "runs.csv", index=False)
    render_tables(root)
    assert "conv_orthogonal" not in (root / "tables" / "runs.md").read_text()


def test_other_input_sizes_are_said(collected):
    root = collected(complexity={"architectures": ["base"], "input_shape": [1, 28, 28]})
    render_tables(root)
    assert (
        "Counted for 1x28x28 and 10 classes; the paper's columns are" in (root / "tables/paper_columns.md").read_text()
    )


def test_complexity_shares(collected):
    render_tables(root := collected())
    header, rows = markdown_rows(root / "tables" / "complexity.md")
    assert len(rows) == 35
    assert "inference (M) weight@50" in header
    assert rows["VGG11", "Conv"][3] == "100.0"
    assert rows["VGG11", "-LRr"][3] == f"{100 * 4_651_234 / 9_231_234:.1f}"


def test_no_run_and_no_complexity_still_give_tables(collected):
    root = collected(seeds=[0], skip=plan_runs(make_config(seeds=[0])))
    (root / "complexity.json").unlink()
    collect(make_config(seeds=[0]), root, partial=True)
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert {row[2] for row in rows.values()} == {"-"}
    assert "No run was collected." in (root / "tables" / "runs.md").read_text()
    assert "18 not counted in this experiment" in (root / "tables" / "paper_columns.md").read_text()


def test_awkward_names_stay_text(collected):
    """A variant called NA, and hashes and commits that look like numbers, are read as they are written."""
    root = collected(define={"NA": {"layer": "linear"}, "1e5": {"layer": "linear"}}, variants=["conv", "NA", "1e5"])
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert list(rows) == [("Base", "Conv"), ("Base", "NA"), ("Base", "1e5")]
    assert "| 12e45678 |" in (root / "tables" / "runs.md").read_text()


def test_two_renders_are_equal(collected):
    root = collected(diverged=[key("Lr", 1)])
    first = {path: path.read_bytes() for path in render_tables(root)}
    assert {path: path.read_bytes() for path in render_tables(root)} == first


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
    repository = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((root / "figures").iterdir())) == sum(kind.per in UNTIMED for kind in FIGURES.values())


def counted(root, **changes):
    """The unrounded table of the overhead, of real counts."""
    config = make_config(**changes)
    write_result(root / "complexity.json", measure_grid(config.complexity, config.planned_variants))
    collect(config, root, partial=True)
    render_tables(root)
    rows = read_rows(root / "tables" / "overhead.csv")
    return {(r["architecture"], r["variant"], int(r["batch_size"])): r for r in rows}


def test_weight_space_s_overhead_falls_with_the_batch(collected):
    grid = {"variants": ["conv", "L"], "complexity": {"architectures": ["vgg11", "resnext29"]}}
    root = collected(**grid)
    rows = counted(root, **grid)
    assert len(rows) == 2 * 2 * 5
    widths = [64, 128, 256, 256, 512, 512, 512, 512]
    sizes = [1024, 256, 64, 64, 16, 16, 4, 4]
    inputs = [3, *widths[:-1]]
    plain = sum(9 * c * n * pixels for c, n, pixels in zip(inputs, widths, sizes, strict=True)) + 512 * 10
    product = sum(9 * c * (n // 2) ** 2 for c, n in zip(inputs, widths, strict=True))
    for batch in (1, 8, 50, 128, 512):
        wanted = 1 + product / batch / plain
        assert float(rows["vgg11", "L", batch]["weight_ratio"]) == pytest.approx(wanted, rel=1e-6)
        assert float(rows["vgg11", "conv", batch]["weight_ratio"]) == 1
    saved = sum((9 * c - n // 2) * (n // 2) * p for c, n, p in zip(inputs, widths, sizes, strict=True))
    assert {r["feature_ratio"] for (a, v, _), r in rows.items() if (a, v) == ("vgg11", "L")} == {
        f"{1 - saved / plain:.8g}"
    }
    grouped = [float(rows["resnext29", "L", batch]["feature_ratio"]) for batch in (1, 512)]
    assert grouped[0] > grouped[1]  # layers with groups stay in weight space
    _, text = markdown_rows(root / "tables/overhead.md")
    assert text["VGG11", "-L"][2] == f"{1 + product / plain:.2f}"


def test_the_overhead_of_other_methods_is_that_of_their_one_form(collected):
    spaced = {"define": {"spaced": {"layer": "dcls", "options": {"kernel_count": 5}}}, "variants": ["conv", "spaced"]}
    grid = spaced | {"complexity": {"architectures": ["base"]}}
    rows = counted(collected(**grid), **grid)
    assert all(row["weight_ratio"] == row["feature_ratio"] for row in rows.values())
    assert float(rows["base", "spaced", 1]["weight_ratio"]) > float(rows["base", "spaced", 512]["weight_ratio"])
