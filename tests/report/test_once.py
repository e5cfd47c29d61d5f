"""What is rendered together is computed once: a family of comparisons, a table, a figure for its files and the page."""

from __future__ import annotations

from collections import Counter

import pytest

from linconv.catalogue.figures import FIGURES
from linconv.catalogue.tables import TABLES
from linconv.report import figures, render_all, source, tables
from linconv.report.page import images, report_html
from linconv.report.plan import plan_outputs
from linconv.report.source import load_experiment, once
from linconv.results.files import write_result
from tests.report.conftest import key, written
from tests.results.factory import make_config, make_run

NARROW = {"narrow": {"layer": "conv", "narrow_to": "LRr"}}
SMALL = {"variants": ["conv", "Lr"], "seeds": [0, 1], "figures": {"formats": ["svg"]}}


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls of functions of modules, by what is made of their arguments."""

    def count(module, name, of):
        counted, original = Counter(), getattr(module, name)

        def counting(*args, **options):
            counted[of(*args)] += 1
            return original(*args, **options)

        monkeypatch.setattr(module, name, counting)
        return counted

    return count


@pytest.mark.usefixtures("sketched")
def test_a_family_is_compared_once(tmp_path, calls):
    """By tables, figures, claims and the page of one experiment, with rankings by two costs."""
    variants = ["conv", "L", "Lr", "LRr", "narrow"]
    costs = {"conv": (10**6, 10**7)} | dict.fromkeys(variants[1:], (500_000, 5_000_000))
    ranking = {"references": {"Lr": "Lr"}}
    written(tmp_path, costs=costs, variants=variants, define=NARROW, seeds=[0, 1, 2], ranking=ranking)
    families = calls(source, "compare", lambda models, pairs, *_: tuple(pairs))
    render_all(tmp_path)
    assert len(families) >= 4
    assert set(families.values()) == {1}


@pytest.mark.usefixtures("sketched")
def test_a_figure_is_drawn_once_for_files_and_page(collected, calls):
    root = collected(**SMALL | {"seeds": [0]})
    made = [planned.stem for planned in plan_outputs(load_experiment(root), FIGURES).made]
    alone = report_html(root)
    drawn = calls(figures, "draw_figure", lambda _, planned: planned.stem)
    again = calls(images, "draw_figure", lambda _, planned: planned.stem)
    paths = render_all(root)
    assert drawn == Counter(made)
    assert not again
    assert paths[-1].read_text(encoding="utf-8") == alone


@pytest.mark.usefixtures("sketched")
def test_a_table_is_made_once_for_files_and_page(collected, calls):
    root = collected(**SMALL)
    names = [planned.stem for planned in plan_outputs(load_experiment(root), TABLES).made]
    read = calls(source, "_read_csv", lambda path, _: path.parent.parent)
    notes = calls(tables, "replace", lambda table: table.caption)
    render_all(root)
    assert read[root] == len(source.COLUMNS)  # once, for tables, figures and claims
    assert len(notes) == len(names)
    assert set(notes.values()) == {1}


@pytest.mark.usefixtures("sketched")
def test_the_page_shows_runs_that_are_newer_than_the_files(collected, calls):
    root = collected(skip=[key("Lr", 1)], **SMALL)
    write_result(root / key("Lr", 1).path / "result.json", make_run(make_config(), key("Lr", 1)))
    drawn = calls(images, "draw_figure", lambda _, planned: planned.stem)
    page = render_all(root)[-1].read_text(encoding="utf-8")
    assert "4 of 4 finished" in page
    assert drawn
    assert page == report_html(root)


def test_a_function_computes_once_for_each_experiment_and_its_arguments(collected):
    computed = []

    @once
    def name(experiment, suffix=""):
        computed.append(suffix)
        return f"{experiment.config.experiment}{suffix}"

    one, other = (load_experiment(collected(seeds=[0], variants=["conv"])) for _ in range(2))
    assert [name(one), name(one), name(one, "a"), name(one, "b"), name(one, "a")] == [
        "toy",
        "toy",
        "toya",
        "toyb",
        "toya",
    ]
    assert name(other) == name(other.with_variants(["conv"])) == "toy"
    assert computed == ["", "a", "b", "", ""]
