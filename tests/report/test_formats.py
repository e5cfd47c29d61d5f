"""Tables as Markdown and LaTeX."""

from __future__ import annotations

import math

import pytest

from linconv.report.formats.latex import escape_latex, to_latex
from linconv.report.formats.markdown import to_markdown
from linconv.report.table import Column, Table
from linconv.report.text import number, spread_text
from linconv.statistics import spread

TABLE = Table(
    caption="Accuracy in % & more",
    columns=[Column("network", align="l"), Column("ours", "CIFAR-10"), Column("paper", "CIFAR-10"), Column("n")],
    rows=[["a_b", "97.17 ± 0.20 (3)", "97.2", "1"], ["c|d", "-0.71 (1)", "", "-"]],
    notes=["50 % of a*b"],
    breaks=frozenset({0, 1}),
)


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (1.25, 2, False, "1.25"),
        (0.5, 1, True, "+0.5"),
        (-0.04, 1, True, "-0.0"),
        (-0.003, 2, True, "-0.00"),
        (0.0, 1, True, "+0.0"),
        (-0.0, 1, True, "+0.0"),
        (-0.04, 1, False, "0.0"),
        (-0.71, 2, True, "-0.71"),
        (math.nan, 2, False, "-"),
        (None, 2, False, "-"),
    ],
)
def test_numbers(value, digits, signed, text):
    assert number(value, digits, signed=signed) == text


def test_spreads():
    # t(0.975, 2) * 2 / sqrt(3) = 4.968
    assert spread_text(spread([90, 92, 94])) == "92.0 [87.0, 97.0] (3)"
    assert spread_text(spread([91.5])) == "91.5 (1)"
    assert spread_text(spread([])) == "-"


def test_markdown_is_aligned():
    lines = to_markdown(TABLE).splitlines()
    assert lines == [
        "Accuracy in % & more",
        "",
        r"| network |    CIFAR-10 ours | CIFAR-10 paper |   n |",
        r"| :------ | ---------------: | -------------: | --: |",
        r"| a_b     | 97.17 ± 0.20 (3) |           97.2 |   1 |",
        r"| c\|d    |        -0.71 (1) |                |   - |",
        "",
        r"* 50 % of a\*b",
    ]


def test_latex_escapes_and_groups():
    text = to_latex(TABLE)
    assert r"\caption{Accuracy in \% \& more}" in text
    assert r" & \multicolumn{2}{c}{CIFAR-10} &  \\" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"a\_b & 97.17 $\pm$ 0.20 (3) & 97.2 & 1 \\" in text
    assert r"c\textbar{}d & $-$0.71 (1) &  & -- \\" in text
    assert text.count(r"\midrule") == 2
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count(" & ") for line in rows} == {3}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\\ & % $ # _ { } ~ ^", r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{}"),
        ("-0.5", "$-$0.5"),
        ("CIFAR-10", "CIFAR-10"),
        ("-Lr", "-Lr"),
        ("-", "--"),
    ],
)
def test_latex_escapes(text, escaped):
    assert escape_latex(text) == escaped


def test_long_latex_tables_are_cut_into_pages():
    rows = [[f"row{i}.", "1"] for i in range(120)]
    columns = [Column("a", align="l"), Column("b")]
    table = Table("Many.", columns, rows, ["At the end."], frozenset({40, 48, 97}), label="long")
    parts = to_latex(table).split(r"\begin{table*}")[1:]
    shown = [[row[0] for row in rows if f"{row[0]} &" in part] for part in parts]
    assert [(names[0], names[-1]) for names in shown] == [
        ("row0.", "row47."),
        ("row48.", "row96."),
        ("row97.", "row119."),
    ]
    assert [r"\addtocounter{table}{-1}" in part for part in parts] == [False, True, True]
    assert ["At the end." in part for part in parts] == [False, False, True]
    assert sum(part.count(r"\label{tab:long}") for part in parts) == 1
