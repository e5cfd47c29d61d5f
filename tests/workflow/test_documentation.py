"""The documentation names what there is: keys and files of configuration, pages, tools. Configurations are sound."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from linconv.catalogue._entry import Entry
from linconv.catalogue.criteria import CRITERIA
from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.examples import examples
from linconv.catalogue.figures import FIGURES
from linconv.catalogue.frozen import Frozen, _leaf_types
from linconv.catalogue.methods import METHODS
from linconv.catalogue.networks import NETWORKS
from linconv.catalogue.regularizers import REGULARIZERS
from linconv.catalogue.tables import TABLES
from linconv.config import Config, Recipe, load_config
from tests.scripts import load_script
from tests.workflow.conftest import REPOSITORY

embed_tables = load_script("docs/embed_tables.py")


def models() -> set[type[Frozen]]:
    """Every block of a configuration, at any depth; a recipe is one of free keys there."""
    found: set[type[Frozen]] = set()
    waiting: list[type[Frozen]] = [Config, Recipe]
    while waiting:
        model = waiting.pop()
        if model not in found:
            found.add(model)
            types = {t for field in model.model_fields.values() for t in _leaf_types(field.annotation)}
            waiting += [t for t in types if issubclass(t, Frozen)]
    return found


def keys() -> Iterator[tuple[str, str]]:
    for model in models():
        for key in model.model_fields:
            yield model.__name__, key


def test_every_key_is_documented() -> None:
    text = embed_tables.embedded((REPOSITORY / "config" / "README.md").read_text(encoding="utf-8"))
    missing = [f"{model}.{key}" for model, key in keys() if f"`{key}" not in text and f".{key}`" not in text]
    assert not missing


@pytest.mark.parametrize(
    ("page", "entries"),
    [
        ("config/README.md", NETWORKS),
        ("config/README.md", DATASETS),
        ("config/README.md", CRITERIA),
        ("config/README.md", REGULARIZERS),
        ("docs/methods.md", METHODS),
        ("docs/results.md", TABLES),
        ("docs/results.md", FIGURES),
    ],
)
def test_every_entry_of_the_catalogue_has_its_row_on_the_site(page: str, entries: Mapping[str, Entry]) -> None:
    text = embed_tables.embedded((REPOSITORY / page).read_text(encoding="utf-8"))
    rows = set(re.findall(r"^\| `(\w+)` +\|", text, flags=re.MULTILINE))
    assert set(entries) <= rows


def test_generated_tables_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/embed_tables.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_page_may_lack_an_entry_until_a_release_but_has_no_other_row() -> None:
    text = (REPOSITORY / "docs/methods.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `ghost`"))
    shorter = text.replace(row + "\n", "", 1)
    assert not embed_tables.outdated(shorter)
    assert embed_tables.outdated(shorter, complete=True)
    assert embed_tables.outdated(text.replace(row, row.replace("ghost", "gohst"), 1))


def test_every_file_is_documented() -> None:
    text = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\S+\.yaml)` \|", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (REPOSITORY / "config").glob("*.yaml"))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_committed_configurations_are_sound(path) -> None:
    config = load_config(path)
    assert path.stem in (config.experiment, "config")


def test_experiments_have_names_of_their_own() -> None:
    names = [load_config(path).experiment for path in (REPOSITORY / "config").glob("*.yaml")]
    assert len(set(names)) == len(names)


NAMES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md")
PAGES = [*(REPOSITORY / name for name in NAMES), *sorted((REPOSITORY / "docs").glob("*.md"))]
CODE = re.compile(r"^ *```.*?^ *```$", flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link may name after `#`: the headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_configuration_of_the_reproduction_is_shipped() -> None:
    text = (REPOSITORY / "docs" / "reproduction.md").read_text(encoding="utf-8")
    named = re.findall(r"linconv (?:run|measure complexity --config) ([\w-]+)\.yaml", text)
    assert {"paper", "table2"} <= set(named) <= set(examples())


WIDE = ("config/README.md",)


@pytest.mark.parametrize("page", [p for p in PAGES if p.relative_to(REPOSITORY).as_posix() not in WIDE], ids=str)
def test_lines_are_short(page: Path) -> None:
    """Tables are one line a row; so is what `docs/embed_tables.py` copies."""
    text = re.sub(r"<!-- (table|text): .*?<!-- /\1 -->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    long = [line for line in text.splitlines() if len(line) > 100 and not line.lstrip().startswith("|")]
    assert long == []


def test_hooks_run_the_locked_tools() -> None:
    """The hooks install their own tools, so that they run outside of the environment of `make`."""
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    wanted = [tool for hook in hooks for tool in hook["additional_dependencies"]]
    assert len(wanted) == len(hooks)
    assert [tool for tool in wanted if f"\n{tool} " not in lock] == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_files_that_workflows_name_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    named = re.findall(r"(?<![\w/])(?:tests|docs|config)/[\w/.]+", text)
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_answer_is_what_the_reference_results_give():
    found = subprocess.run([sys.executable, REPOSITORY / "docs/answer.py", "--check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_the_image_copies_what_is_there_and_what_docker_is_given() -> None:
    lines = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    given = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"linconv", "workflow", "requirements.lock"} <= set(copied)
    assert [source for source in copied if not (REPOSITORY / source).exists() or f"!{source}" not in given] == []
    named = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"setup.py", "README.md", *named["license-files"]} <= set(copied), "no wheel is built without them"
