"""Every block of code of the documentation runs, page by page and in order, from an empty folder with only the wheel.

A block that cannot run has the line `<!-- not run: REASON -->` before it. A block of YAML or TOML with a title is saved
under it. The blocks of a page are one program: later ones see the names and files of earlier ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n)?^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
EXAMPLE = ROOT / "docs" / "examples" / "mirrored"
posix = pytest.mark.skipif(sys.platform == "win32", reason="console blocks are written for a POSIX shell")


class Block(NamedTuple):
    """A block of code: `reason` is why it is not run, "" where it is; `title` the file it is saved as."""

    page: str
    language: str
    title: str
    code: str
    reason: str


def blocks(page: Path) -> list[Block]:
    found = []
    for reason, language, rest, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        title = TITLE.search(rest)
        name = page.relative_to(ROOT).as_posix()
        found.append(Block(name, language, title[1] if title else "", code, reason))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def program(found: list[Block]) -> str:
    """The blocks of a page that run, as one Python program."""
    lines = ["import pathlib as _pathlib, subprocess as _subprocess"]
    for block in found:
        if block.reason:
            continue
        if block.language == "python":
            lines.append(block.code)
        elif block.language == "console":
            lines.append(f"_subprocess.run({'set -e' + chr(10) + block.code!r}, shell=True, check=True)")
        elif block.title:
            lines.append(f"_pathlib.Path({block.title!r}).write_text({block.code!r})")
    return "\n".join(lines)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel; what it needs is here already."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files in its folder, which the next one would take in
    source.mkdir()
    for name in ("linconv", "config"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    made = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(made, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(folder / "site"), str(file)], check=True)
    return folder / "site"


def in_empty_folder(code: str, folder: Path, wheel: Path) -> subprocess.CompletedProcess[str]:
    programs = os.pathsep.join([str(wheel / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = os.pathsep.join([str(wheel), str(EXAMPLE)])  # docs/adding-a-method.md has its reader install the latter
    environment = os.environ | {"PYTHONPATH": found, "PATH": programs, "MPLBACKEND": "Agg"}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


def running(page: Path) -> list[Block]:
    return [b for b in blocks(page) if not b.reason and b.language in ("python", "console")]


def takes_long(page: Path) -> bool:
    """Whether a block trains a whole experiment or counts all networks, as tests/measure/test_complexity.py does."""
    commands = "\n".join(block.code for block in running(page) if block.language == "console")
    return "linconv run" in commands or "linconv measure complexity" in commands


def is_run_elsewhere(page: Path) -> bool:
    """tests/test_halve_a_model.py runs the blocks of this page with this code, and reads their table."""
    return page.name == "how-to-halve-a-model.md"


@posix
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if takes_long(page) or is_run_elsewhere(page) else ())
        for page in PAGES
        if running(page)
    ],
    ids=lambda page: page.name,
)
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path, wheel: Path) -> None:
    done = in_empty_folder(program(blocks(page)), tmp_path, wheel)
    assert done.returncode == 0, done.stderr


def test_the_first_program_of_the_readme_runs(tmp_path: Path, wheel: Path) -> None:
    done = in_empty_folder(next(b.code for b in blocks(ROOT / "README.md") if b.language == "python"), tmp_path, wheel)
    assert (done.returncode, done.stdout) == (0, "39840\n"), done.stderr


def test_no_block_is_overlooked() -> None:
    """As many fences as blocks that were found; each is run, is data, or says why it is not run."""
    fences = sum(len(re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert fences == 2 * len(BLOCKS)
    assert {block.language for block in BLOCKS} <= {"python", "console", "yaml", "toml"}


def indented(text: str) -> list[str]:
    """The first lines of the blocks of code that are set by four spaces, which are found by no fence."""
    lines = BLOCK.sub("", text).splitlines()
    first, listed = [], False
    for before, line in zip(["", *lines], lines, strict=False):
        if line.strip() and not line.startswith(" "):
            listed = re.match(r"[*+-] |\d+[.)] ", line) is not None
        if line.startswith(("    ", "\t")) and not before.strip() and not listed:
            first.append(line)
    return first


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_code_is_set_by_indentation(page: Path) -> None:
    assert indented(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("So:\n\n    pip install x\n    pip list\n\nThen\n\n\tls\n", 2),
        ("* a thing\n\n    of two paragraphs\n", 0),
        ("* a thing\n\nThen\n\n    ls\n", 1),
        ("```python\nif x:\n\n    y()\n```\n", 0),
        ("a sentence\n    that goes on\n", 0),
    ],
)
def test_indented_code_is_recognized(text: str, count: int) -> None:
    assert len(indented(text)) == count


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.reason], ids=lambda block: block.page)
def test_what_is_not_run_says_why(block: Block) -> None:
    assert len(block.reason.split()) >= 4
    if block.reason.startswith("a part of"):
        file = block.reason.removeprefix("a part of ").partition(",")[0]
        lines = [line for line in block.code.splitlines() if line.strip()]
        assert [line for line in lines if line not in (ROOT / file).read_text(encoding="utf-8").splitlines()] == []


def test_the_wheel_holds_the_configurations_and_no_tests(wheel: Path) -> None:
    shipped = {path.name: path.read_bytes() for path in (wheel / "linconv" / "examples").iterdir()}
    assert shipped == {path.name: path.read_bytes() for path in (ROOT / "config").glob("*.yaml")}
    assert sorted(path.name for path in wheel.iterdir() if path.is_dir() and path.suffix != ".dist-info") == [
        "bin",
        "linconv",
    ]


@posix
def test_a_first_line_appears_at_once(wheel: Path, tmp_path: Path) -> None:
    """Measured in seconds of the processor, so that a busy machine changes nothing."""
    code = "import resource, subprocess; subprocess.run(['linconv', '--version'], check=True)\n"
    code += "used = resource.getrusage(resource.RUSAGE_CHILDREN); assert used.ru_utime + used.ru_stime < 2, used"
    done = in_empty_folder(code, tmp_path, wheel)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "linconv 0.1.0"
