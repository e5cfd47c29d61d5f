"""Every block of code in README.md and docs/layer.md runs, in the order in which a reader meets them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.conftest import Project

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/layer.md")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
posix = pytest.mark.skipif(sys.platform == "win32", reason="the pipeline needs bash")


def blocks(language: str, *pages: str) -> list[str]:
    texts = ((ROOT / page).read_text(encoding="utf-8") for page in pages)
    return [code for text in texts for found, code in BLOCK.findall(text) if found == language]


def commands() -> list[str]:
    """The lines of the console blocks, without their comments."""
    lines = "".join(blocks("console", "README.md")).splitlines()
    return [line.partition("#")[0].strip() for line in lines]


def test_there_is_no_other_kind_of_block():
    assert {language for page in PAGES for language, _ in BLOCK.findall((ROOT / page).read_text("utf-8"))} == {
        "console",
        "python",
    }


def test_the_page_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


@pytest.mark.parametrize("code", blocks("python", *PAGES))
def test_python(code, tmp_path):
    """In an empty folder, with what the wheel brings and nothing else of this project."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_comment_on_the_number_of_parameters():
    import torchvision

    import linconv

    model = torchvision.models.resnet18(num_classes=10)
    before = linconv.complexity(model, (3, 64, 64)).params
    after = linconv.complexity(linconv.convert(model, "LRr"), (3, 64, 64)).params
    (code,) = blocks("python", "README.md")
    assert f"# {after / 1e6:.1f} million instead of {before / 1e6:.1f} million" in code


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the repository with results of the default experiment."""
    project = Project.copied_to(tmp_path_factory.mktemp("readme"))
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project.root)
    shutil.copytree(ROOT / "results" / "reference" / "digits", project.root / "results" / "digits")
    return project


@posix
@pytest.mark.parametrize("command", commands())
def test_console(command, project, tmp_path):
    program, *rest = command.split()
    if command == "source .venv/bin/activate":
        assert "VENV ?= .venv" in (ROOT / "Makefile").read_text(encoding="utf-8")
        return
    if program == "snakemake":
        assert sum(project.planned(*rest).values()) > 0
        return
    arguments = {
        # from the folder, without the network: the dependencies are here
        "pip": ["-m", "pip", *rest, "--no-deps", "--no-build-isolation", "--no-index", "--target", str(tmp_path)],
        "linconv": ["-m", "linconv.cli", *rest],
    }
    # what a target of the Makefile does takes minutes, and CI runs it: here only that there is one
    whole = [sys.executable, *arguments[program]] if program in arguments else ["make", "--dry-run", *rest]
    assert program in (*arguments, "make")
    done = subprocess.run(
        whole, cwd=project.root, env=os.environ | {"PYTHONPATH": str(project.root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
