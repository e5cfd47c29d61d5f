"""Hooks of the documentation site: pages of the repository outside of docs/, their links, formulas, and how-tos.

README.md is the home page. Every other file of the repository that a page links to becomes a page or a file below
`repository/`. A folder has no page: its link leads to the repository where LINCONV_REPOSITORY, or GITHUB_REPOSITORY in
CI, names its address, and is plain text where none does.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from runpy import run_path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
embedded = run_path(str(ROOT / "docs" / "embed_tables.py"))["embedded"]
FENCED = re.compile(r"(<mo>&#x0005B;</mo><mtable>.*?</mtable><mo>&#x0005D;</mo>)")
WIDE = re.compile(r"^(\|[^|\n]*){10,}\|$", re.MULTILINE)
FORMULA = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.MULTILINE | re.DOTALL)


def repository() -> str | None:
    """The address of the repository, where the environment says it."""
    name = os.environ.get("GITHUB_REPOSITORY")
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return os.environ.get("LINCONV_REPOSITORY") or (f"{server}/{name}" if name else None)


def source_of(place: str) -> str:
    """The file of the repository behind a file of the site, both as relative paths."""
    if place == "index.md":
        return "README.md"
    return place.removeprefix("repository/") if place.startswith("repository/") else f"docs/{place}"


def place_of(source: str) -> str:
    """The file of the site for a file of the repository."""
    if source == "README.md":
        return "index.md"
    return source.removeprefix("docs/") if source.startswith("docs/") else f"repository/{source}"


def targets(source: str, text: str) -> list[str]:
    """The files and folders of the repository that a page of it links to."""
    found = LINK.findall(CODE.sub("", text))
    return [posixpath.normpath(posixpath.join(posixpath.dirname(source), link)) for _, _, link, _ in found]


def on_config(config: Any) -> None:
    """Pages named how-to-* come into the navigation by their names, those of experiments by their weight."""
    (weighed,) = [entry["Experiments"] for entry in config.nav if "Experiments" in entry]
    weighed += [{name: f"repository/results/reference/{page}"} for name, page in experiments()]
    (section,) = [entry["How-tos"] for entry in config.nav if "How-tos" in entry]
    known = {place for entry in section for place in entry.values()}
    section[:0] = [
        {_title(path): path.name} for path in sorted((ROOT / "docs").glob("how-to-*.md")) if path.name not in known
    ]
    config.repo_url = repository()


def experiments() -> list[tuple[str, str]]:
    """Names and pages of the experiments, the weightiest first: the headings of the page that lists them."""
    text = (ROOT / "results" / "reference" / "experiments.md").read_text(encoding="utf-8")
    return re.findall(r"^## \[([^\]]+)\]\(([^)]+)\)", text, re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the home page, the pages of the navigation outside of docs/, and whatever the pages link to."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text(encoding="utf-8")))
    waiting = [file.src_uri for file in files.documentation_pages()]
    waiting += re.findall(r"repository/[\w./-]+", str(config.nav))
    while waiting:
        place = waiting.pop()
        path = ROOT / source_of(place)
        if files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, content=path.read_bytes()))
        if path.suffix != ".md":
            continue
        for target in targets(source_of(place), path.read_text(encoding="utf-8")):
            if (ROOT / target).is_file() and files.get_file_from_path(place_of(target)) is None:
                waiting.append(place_of(target))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead the links of a page to their places on the site; write formulas as MathML and every entry in its table."""
    markdown = embedded(markdown)
    place = page.file.src_uri
    source = source_of(place)
    if place == "index.md":
        page.meta["hide"] = ["navigation"]  # it has the tabs, and leaves room for the code

    def there(link: str) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        return posixpath.relpath(place_of(target), posixpath.dirname(place) or ".")

    def lead(found: re.Match[str]) -> str:
        mark, text, link, anchor = found.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if (ROOT / target).is_dir():
            return f"[{text}]({repository()}/tree/main/{target})" if repository() else text
        narrow = link.removesuffix(".png") + "-tall.png"
        if mark and (ROOT / posixpath.dirname(source) / narrow).is_file():  # there is a version for small screens
            return (
                f'<picture>\n<source media="(max-width: 40em)" srcset="{there(narrow)}">\n'
                f'<img src="{there(link)}" alt="{text}">\n</picture>'
            )
        return f"{mark}[{text}]({there(link)}{anchor or ''})"

    if WIDE.search(markdown):
        page.meta["hide"] = [*page.meta.get("hide", []), "toc"]  # room for the columns
    parts = []
    end = 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(lead, markdown[end : code.start()]), code[0]]
        end = code.end()
    text = "".join([*parts, LINK.sub(lead, markdown[end:])])
    return FORMULA.sub(lambda found: formula(found[1]), text)


def formula(tex: str) -> str:
    """MathML of a formula; brackets around a matrix have a row of their own, in which they stretch."""
    return FENCED.sub(r"<mrow>\1</mrow>", convert(" ".join(tex.split()), display="block"))


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").strip()
