"""The package: its public names, and what importing it must not do."""

import json
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import linconv

ROOT = Path(__file__).parents[1]


def test_what_is_cited_is_this_version_of_this_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    deposited = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == deposited["version"] == project["version"] == linconv.__version__
    assert (cited["title"], cited["abstract"]) == (deposited["title"], deposited["description"])
    assert cited["license"] == deposited["license"] == project["license"]
    assert [author["name"] for author in cited["authors"]] == [one["name"] for one in deposited["creators"]]


@pytest.mark.parametrize("name", linconv.__all__)
def test_public_names_resolve_and_are_documented(name):
    assert (getattr(linconv, name).__doc__ or "").strip()
    assert name in dir(linconv)


def test_rooms_and_names_need_no_import_of_their_own():
    expressions = [
        "linconv.config.Variant(layer='tucker')",
        "linconv.Variant(layer='linear')",
        "linconv.testing.check_method",
        "linconv.pruning.pruned_network",
        "linconv.layers.LinearConv2d",
    ]
    code = f"""
import os, torch, linconv
for expression in {expressions!r}:
    if not (child := os.fork()):
        eval(expression)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, expression
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'LinearConv'"):
        _ = linconv.LinearConv


@pytest.mark.parametrize(
    "module", ["linconv", "linconv.config", "linconv.results.collect", "linconv.report", "linconv.cli"]
)
def test_modules_that_must_not_import_torch(module):
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_that_grows_becomes_two():
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in Path(linconv.__file__).parent.rglob("*.py")
    }
    assert len(lengths) > 300
    assert [str(path) for path, lines in lengths.items() if lines > 300] == []


def test_setuptools_is_told_of_every_folder():
    """One without code would be left out: setuptools warns of it today."""
    files = [p for p in (ROOT / "linconv").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    bare = {folder for folder in (p.parent for p in files) if not (folder / "__init__.py").exists()}
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert bare
    assert all(f'"{".".join(folder.relative_to(ROOT).parts)}"' in setup for folder in bare)


def test_links_of_the_package_do_not_lead_to_a_repository_around_it(tmp_path, monkeypatch):
    for name in ("LINCONV_REPOSITORY", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    address = "https://example.org/someone/else"
    for command in (["init", "-q"], ["remote", "add", "origin", address]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    inner = tmp_path / "vendored"
    inner.mkdir()
    for folder in (tmp_path, inner):
        shutil.copy(ROOT / "setup.py", folder)
        shutil.copy(ROOT / "README.md", folder)
    assert runpy.run_path(str(tmp_path / "setup.py"))["ADDRESS"] == address
    assert runpy.run_path(str(inner / "setup.py"))["ADDRESS"] is None
