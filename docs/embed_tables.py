"""Copy generated tables into the Markdown pages that show them.

A page marks the place with `<!-- table: PATH -->` and `<!-- /table -->`, PATH from the repository's root, with
`<!-- catalogue: KIND -->` and `<!-- /catalogue -->` for the entries of the catalogue, or with
`<!-- text: how-to-read -->` and `<!-- /text -->` for what holds for all tables. `python docs/embed_tables.py` rewrites
README.md, config/README.md and docs/*.md; with `--check` it only says which page is out of date.

The site is built with the catalogue's entries of the moment (docs/site_hooks.py). A page in git may lack the newest
entries until a release, which `--complete` checks: whoever adds an entry changes no page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from linconv.catalogue.listing import table as catalogue
from linconv.report.verdicts import how_to_read

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- (table|catalogue|text): (\S+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
TEXTS = {"how-to-read": how_to_read}


def embedded(text: str) -> str:
    """The page with every marked table as it is in the table's file or in the catalogue."""

    def generated(found: re.Match[str]) -> str:
        return f"{found[1]}{_copied(found[2], found[3]).strip()}\n{found[4]}"

    return PLACE.sub(generated, text)


def _copied(kind: str, name: str) -> str:
    if kind == "catalogue":
        return catalogue(name)
    return TEXTS[name]() if kind == "text" else (ROOT / name).read_text(encoding="utf-8")


def outdated(text: str, complete: bool = False) -> bool:
    """Whether a page shows what is not so; `complete`: or lacks an entry of the catalogue."""
    shown, wanted = ([_lines(found) for found in PLACE.finditer(page)] for page in (text, embedded(text)))
    return any(
        mine != theirs if complete or kind != "catalogue" else not mine <= theirs
        for (kind, mine), (_, theirs) in zip(shown, wanted, strict=True)
    )


def _lines(found: re.Match[str]) -> tuple[str, set[str]]:
    """What stands at a marked place, its lines without the spaces that align columns."""
    return found[2], {re.sub(r" +|-+", " ", line) for line in found[0].splitlines()}


def main() -> int:
    check = "--check" in sys.argv
    wrong = []
    for page in [ROOT / "README.md", ROOT / "config" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if check and outdated(text, "--complete" in sys.argv):
            wrong.append(str(page.relative_to(ROOT)))
        elif not check and embedded(text) != text:
            page.write_text(embedded(text), encoding="utf-8")
    if wrong:
        sys.stderr.write(f"tables out of date in {', '.join(wrong)}: python docs/embed_tables.py\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
