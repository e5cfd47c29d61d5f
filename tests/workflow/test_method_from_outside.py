"""A method of another package, installed beside this one, is a row of the pipeline's tables like any other."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

from linconv.config import RunKey, parse_config, resolve_run
from linconv.config.parts import run_parts
from linconv.models import build_model
from linconv.results.code import code_hash
from tests.workflow.conftest import FAST, REPOSITORY, Project

EXAMPLE = REPOSITORY / "docs/examples/mirrored"


def test_a_method_from_outside_gets_its_row(project: Project, tmp_path: Path) -> None:
    """The example of docs/adding-a-method.md: a folder of two files, installed by pip, named in a configuration."""
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name in ("pyproject.toml", "mirrored.py"):
        (source / name).write_bytes((EXAMPLE / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True, text=True)
    define = {"upside_down": {"layer": "mirrored", "options": {"vertical": True}}}
    project.write_config(variants=list(define), define=define, ranking=None)
    installed = {"PYTHONPATH": f"{project.root}:{site}"}
    done = project.snakemake("--until", "collect", **installed)
    assert done.returncode == 0, done.stdout
    project.linconv("render", "tables", str(project.results()), **installed)
    with (project.results() / "data/runs.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(define, "ok")
    plain = resolve_run(parse_config(FAST), RunKey("synthetic", "base", "conv", 0))
    assert int(rows["upside_down"]["params"]) < 0.51 * sum(p.numel() for p in build_model("base").parameters()) + 8_000
    assert rows["upside_down"]["code_hash"] != code_hash("run", run_parts(plain))
    result = json.loads((project.results() / "runs/synthetic/base/upside_down/seed0/result.json").read_text())
    assert result["provenance"]["versions"]["mirrored"] == "mirrored 1.0"
    table = (project.results() / "tables/table1.md").read_text(encoding="utf-8")
    assert "upside" in table


def test_the_documentation_shows_every_line_of_the_example() -> None:
    text = (REPOSITORY / "docs/adding-a-method.md").read_text(encoding="utf-8")
    code = (EXAMPLE / "mirrored.py").read_text(encoding="utf-8")
    assert _lines(_fenced(text.partition("## The test\n")[0], "python")) == _lines(code)
    entry = _fenced(text, "toml")
    assert entry.endswith('mirrored = "mirrored:MirroredConv2d"\n')
    assert entry in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
    assert f"(examples/mirrored/mirrored.py), {len(code.splitlines())} lines" in text


def _fenced(text: str, language: str) -> str:
    """The blocks of a language in a document, one after another."""
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))


def _lines(code: str) -> list[str]:
    return [line for line in code.splitlines() if line]
