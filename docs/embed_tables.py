"""Copy generated tables into the Markdown pages that show them.

A page marks the place with `<!-- table: PATH -->` and `<!-- /table -->`, PATH from the repository's root, with
`<!-- catalogue: KIND -->` and `<!-- /catalogue -->` for the entries of the catalogue, or with
`<!-- text: how-to-read -->` and `<!-- /text -->` for what holds for all tables. `python docs/embed_tables.py` rewrites
README.md, config/README.md and docs/*.md; with `--check` it only says which page is out of date.
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


def main() -> int:
    outdated = []
    for page in [ROOT / "README.md", ROOT / "config" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if embedded(text) != text:
            outdated.append(page.relative_to(ROOT))
            if "--check" not in sys.argv:
                page.write_text(embedded(text), encoding="utf-8")
    if outdated and "--check" in sys.argv:
        sys.stderr.write(f"tables out of date in {', '.join(map(str, outdated))}: python docs/embed_tables.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
