"""Nothing personal in what is published: no folder of a machine, no name of a user; and no cell that is a program."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from linconv.config import load_config, parse_config
from linconv.config.writing import config_text
from linconv.report.compare import compare_folders
from linconv.report.formats import to_markdown
from linconv.report.page.sections import _log_end
from linconv.report.table import Column, Table
from linconv.results.collect import collect
from linconv.results.merge import merge
from linconv.results.planned import JOB_BEGINS, LOG_BEGINS, last_word
from linconv.results.tidy import write_csv
from tests.results.factory import make_config, write_experiment

HOME = "/home/alice"
ROOTS = (f"{HOME}/data", "~/data", "../../home/alice/data", "data")


@pytest.mark.parametrize("root", ROOTS)
def test_a_copy_of_a_configuration_does_not_say_where_the_data_lie(root: str) -> None:
    config = make_config(data_root=root)
    for defaults in (False, True):
        text = config_text(config, defaults=defaults)
        assert "data_root" not in text
        assert "alice" not in text
        assert parse_config(yaml.safe_load(text)) == config.model_copy(update={"data_root": None})


def test_collecting_and_merging_copy_no_folder(tmp_path: Path) -> None:
    config = make_config(data_root=f"{HOME}/data")
    for name, seed in (("a", 0), ("b", 1)):
        own = config.model_copy(update={"seeds": (seed,)})
        root = write_experiment(tmp_path / name, own)
        (root / "config.yaml").write_text(yaml.safe_dump(own.model_dump(mode="json")), encoding="utf-8")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "both")
    assert load_config(tmp_path / "both" / "config.yaml").seeds == (0, 1)
    assert "alice" not in (tmp_path / "both" / "config.yaml").read_text(encoding="utf-8")


def test_failures_and_logs_name_no_folder(tmp_path: Path) -> None:
    config = make_config(variants=["conv"], seeds=[0, 1])
    root = write_experiment(tmp_path, config)
    (lost, damaged) = (root / f"runs/digits/base/conv/seed{seed}/result.json" for seed in (0, 1))
    lost.unlink()
    damaged.write_text(json.dumps({"kind": f"{HOME}/secret/x"}), encoding="utf-8")
    log = root / "logs" / "train" / "digits" / "base" / "conv" / "seed0.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"{LOG_BEGINS}linconv train\nerror: {HOME}/data/pets: missing\n", encoding="utf-8")
    collect(config, root, partial=True)
    text = (root / "data" / "failures.csv").read_text(encoding="utf-8")
    assert "error: pets: missing" in text
    assert "alice" not in text
    assert _log_end(log).endswith("error: pets: missing")


def test_of_a_log_of_several_attempts_the_last_one_counts(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    attempts = ["error: the disk is full", "interrupted; the same command continues it"]
    log.write_text("".join(f"12:00:00 {LOG_BEGINS}linconv train\n12:00:01 {a}\n" for a in attempts), encoding="utf-8")
    assert last_word(log) == "12:00:01 interrupted; the same command continues it"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{JOB_BEGINS}2026-11-27T16:06:18Z job 8\n")
    assert last_word(log) == "", "killed before its first line: nothing of the attempt before counts"
    with log.open("a", encoding="utf-8") as file:
        file.write("error: ended by SIGKILL\n")
    assert last_word(log) == "error: ended by SIGKILL"


TEXTS = {
    "=HYPERLINK(1)": "'=HYPERLINK(1)",
    "@sum": "'@sum",
    "+cmd|x": "'+cmd|x",
    "-cmd": "'-cmd",
    "\t=1": "'\t=1",
    "-0.5": "-0.5",
    "+0.28 ± 0.1": "+0.28 ± 0.1",
    "a=b": "a=b",
    "": "",
}


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", ["a"], [{"a": text} for text in TEXTS])
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        assert [row["a"] for row in csv.DictReader(file)] == list(TEXTS.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("<!-- x", r"\<!-- x"),
        ("[click](http://x)", r"[click]\(http://x)"),
        ("![x](y)", r"\![x]\(y)"),
        ("a|b*c\nd", r"a\|b\*c d"),
        ("p < 0.05, [0.1, 0.2] (3)", "p < 0.05, [0.1, 0.2] (3)"),
    ],
)
def test_no_text_of_a_table_is_markup(text: str, shown: str) -> None:
    rendered = to_markdown(Table(text, [Column("x", align="l")], [[text]], [text]))
    assert rendered.count(shown) == 3


def test_comparing_says_what_is_mixed(tmp_path: Path) -> None:
    config = make_config(variants=["conv"], seeds=[0, 1])
    roots = [write_experiment(tmp_path / name, config) for name in "ab"]
    assert "were trained with" not in compare_folders(*roots)
    path = roots[1] / "runs/digits/base/conv/seed1/result.json"
    from linconv.results import RunResult, read_result, write_result

    run = read_result(path, RunResult)
    other = run.provenance.model_copy(update={"versions": run.provenance.versions | {"torch": "0.1"}})
    write_result(path, run.model_copy(update={"provenance": other}))
    text = compare_folders(*roots)
    assert "B, Base on Digits: runs that are averaged were trained with 2 versions of torch" in text
    assert "* A, " not in text
