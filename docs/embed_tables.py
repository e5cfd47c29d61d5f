"""Copy generated tables into the Markdown pages that show them.

A page marks the place with `<!-- table: PATH -->` and `<!-- /table -->`, PATH from the repository's root, or with
`<!-- catalogue: KIND -->` and `<!-- /catalogue -->` for the entries of the catalogue. `python docs/embed_tables.py`
rewrites README.md, config/README.md and docs/*.md; with `--check` it only says which page is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from linconv.catalogue.listing import table as catalogue

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- (table|catalogue): (\S+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def embedded(text: str) -> str:
    """The page with every marked table as it is in the table's file or in the catalogue."""

    def generated(found: re.Match[str]) -> str:
        table = catalogue(found[3]) if found[2] == "catalogue" else (ROOT / found[3]).read_text(encoding="utf-8")
        return f"{found[1]}{table.strip()}\n{found[4]}"

    return PLACE.sub(generated, text)


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
