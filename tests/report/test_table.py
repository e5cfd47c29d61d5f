"""The builder of rows: labels, rules and the best of each group."""

from __future__ import annotations

import pytest

from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, TableCell, numeric

COLUMNS = [NETWORK, VARIANT, Column("top-1", best="highest"), Column("params", best="lowest"), Column("plain")]


def built(*rows, group=("network",), **options):
    builder = Rows(COLUMNS, group=group)
    for row in rows:
        builder.add(*row[:2], *(numeric(value, 1) for value in row[2:]), **options)
    return builder.table("A caption.", ["a note"])


def best(table):
    return [(i, j) for i, row in enumerate(table.rows) for j, cell in enumerate(row) if getattr(cell, "best", False)]


def test_names_are_printed_as_readers_know_them():
    table = built(("vgg11", "lowrank_half", 1, 1, 1), ("mine", "my_own", 1, 1, 1))
    assert [row[:2] for row in table.rows] == [["VGG11", "low-rank 1/2"], ["mine", "my own"]]
    builder = Rows([DATASET])
    builder.add("cifar10")
    assert builder.table("").rows == [["CIFAR-10"]]


def test_a_rule_separates_groups_and_the_best_is_that_of_its_group():
    table = built(
        ("base", "conv", 90.0, 3.0, 0),
        ("base", "Lr", 91.0, 2.0, 1),
        ("vgg11", "conv", 95.0, 2.0, 0),
        ("vgg11", "Lr", 94.0, 2.0, 1),
        ("base", "L", 50.0, None, 1),
    )
    assert table.breaks == {0, 2, 4}
    assert best(table) == [(1, 2), (1, 3), (2, 2)]  # equal parameters and a single row have no best
    assert table.notes == ["a note"]


def test_without_groups_there_is_no_rule():
    rows = [("base", "conv", 90.0, 3.0, 0), ("vgg11", "conv", 91.0, 2.0, 1)]
    assert built(*rows, group=()).breaks == frozenset()
    assert best(built(*rows, group=())) == [(1, 2), (1, 3)]


def test_groups_are_of_names_and_not_of_labels():
    """Two networks may be printed alike, as one that is defined as `Base` beside `base`."""
    assert built(("base", "conv", 1, 1, 1), ("Base", "conv", 1, 1, 1)).breaks == {0, 1}


def test_what_is_not_compared_is_never_the_best():
    assert best(built(("base", "conv", 90, 3, 0), ("base", "Lr", 91, 2, 1), compared=False)) == []


def test_every_row_has_a_cell_for_each_column():
    with pytest.raises(ValueError, match="shorter"):
        Rows(COLUMNS).add("base", "conv")


def test_the_note_of_an_empty_table_stands_alone():
    builder = Rows(COLUMNS, group=["network"])
    assert builder.table("", empty="Nothing.").notes == ["Nothing."]
    assert builder.table("", ["Else."], empty="Nothing.").notes == ["Else."]
    builder.add("base", "conv", TableCell(""), "", "")
    assert builder.table("", empty="Nothing.").notes == []
