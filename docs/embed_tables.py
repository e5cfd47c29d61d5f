"""Copy generated tables into the Markdown pages that show them.

A page marks the place with `<!-- table: PATH -->` and `<!-- /table -->`, PATH from the repository's root.
`python docs/embed_tables.py` rewrites README.md and docs/*.md; with `--check` it only says which page is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def embedded(text: str) -> str:
    """The page with every marked table as it is in the table's file."""
    return PLACE.sub(lambda m: f"{m[1]}{(ROOT / m[2]).read_text(encoding='utf-8').strip()}\n{m[3]}", text)


def main() -> int:
    outdated = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
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
