"""The pipeline as a module of another workflow, in a folder that holds nothing of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from linconv.cli.origin import requirement
from tests.workflow.conftest import FAST, REPOSITORY, Project

# Two experiments: one to its report in a folder of its own, the other by a worker until its results are collected.
USING = """
configfile: "cfg.yaml"

module first:
    snakefile: "{clone}/workflow/Snakefile"
    config: config | {{"variants": ["conv"]}}
    prefix: "in ner"

use rule * from first as first_*

module second:
    snakefile: "{clone}/workflow/Snakefile"
    config: config | {{"experiment": "second", "workers": 1}}

use rule * from second as second_*

rule all:
    default_target: True
    input: rules.first_all.input, rules.second_collect.output
"""


@pytest.fixture(scope="module")
def using(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A workflow that uses this one twice, run to its end."""
    root = tmp_path_factory.mktemp("using")
    (root / "cfg.yaml").write_text(yaml.safe_dump(FAST | {"ranking": None}))
    (root / "Snakefile").write_text(USING.format(clone=REPOSITORY))
    project = Project(root, package=REPOSITORY)
    done = project.snakemake("--cores", "2")
    assert done.returncode == 0, done.stdout
    return project


def test_every_experiment_is_complete_in_its_folder(using: Project) -> None:
    for folder in (using.root / "in ner/results/fast", using.root / "results/second"):
        written = yaml.safe_load((folder / "config.yaml").read_text())
        assert written["experiment"] == folder.name
        rows = (folder / "data/runs.csv").read_text(encoding="utf-8").splitlines()[1:]
        assert len(rows) == len(written["variants"])
    inner = using.root / "in ner/results/fast"
    assert (inner / "tables" / "table1.md").stat().st_size
    assert "1 of 1 finished" in (inner / "report.html").read_text(encoding="utf-8")
    names = sorted(path.name for path in using.root.iterdir() if not path.name.startswith("."))
    assert names == ["Snakefile", "cfg.yaml", "in ner", "results"]


def test_a_second_call_does_nothing_and_a_lost_result_is_made_again(using: Project) -> None:
    assert "Nothing to be done" in using.snakemake("--cores", "2").stdout
    (using.root / "results/second/runs/synthetic/base/L/seed0/result.json").unlink()
    planned = using.planned("--cores", "2")
    assert planned == {"second_work": 1, "second_collect": 1}


def test_the_script_after_conda_names_what_is_there_wherever_it_runs(tmp_path: Path) -> None:
    """`python` stands for that of the new environment and writes down what it is asked to do."""
    (tmp_path / "Snakefile").write_text(
        USING.format(clone=REPOSITORY)
        + """
rule deploy:
    shell: "PATH=$PWD:$PATH bash {script}"
""".replace("{script}", str(REPOSITORY / "workflow/envs/linconv.post-deploy.sh"))
    )
    (tmp_path / "cfg.yaml").write_text(yaml.safe_dump(FAST))
    stand_in = tmp_path / "python"
    stand_in.write_text(
        '#!/bin/sh\nfor last; do :; done\necho "$last" >> asked\ncp "$last" lock 2> /dev/null || true\n'
    )
    stand_in.chmod(0o755)
    done = Project(tmp_path, package=REPOSITORY).snakemake("--cores", "1", "deploy")
    assert done.returncode == 0, done.stdout
    packages, itself = (tmp_path / "asked").read_text().splitlines()
    assert Path(packages).name == "requirements.lock"
    assert (tmp_path / "lock").read_bytes() == (REPOSITORY / "requirements.lock").read_bytes()
    assert itself == str(REPOSITORY) == requirement()


def test_pip_can_install_what_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "copy"
    Project.copied_to(source)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (source / name).write_bytes((REPOSITORY / name).read_bytes())
    done = subprocess.run([*command, str(source)], cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "https://host/linconv.whl", "archive_info": {}}, "https://host/linconv.whl"),
        (
            {"url": "https://host/linconv.git", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            "git+https://host/linconv.git@0a1b",
        ),
        ({"url": "file:///some%20where/linconv", "dir_info": {}}, "/some where/linconv"),
        (None, "linconv==1.2"),
    ],
)
def test_an_installed_package_is_installed_again_from_where_it_came(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, origin: dict[str, object] | None, expected: str
) -> None:
    class Installed:
        version = "1.2"

        def read_text(self, name: str) -> str | None:
            return json.dumps(origin) if origin else None

    monkeypatch.setattr("linconv.__file__", str(tmp_path / "site-packages/linconv/__init__.py"))
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Installed())
    assert requirement() == expected
