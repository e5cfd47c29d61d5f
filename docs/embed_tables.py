"""Copy generated tables into the Markdown pages that show them.

A page marks the place of a table with `<!-- table: PATH -->` and `<!-- /table -->`, PATH from the repository's root,
and that of the list of all tables with `<!-- outputs: tables -->` and `<!-- /outputs -->` (or `figures`).
`python docs/embed_tables.py` rewrites README.md and docs/*.md; with `--check` it says which page is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from linconv.catalogue.figures import FIGURES
from linconv.catalogue.tables import TABLES

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)
LIST = re.compile(r"(<!-- outputs: (\w+) -->\n).*?(<!-- /outputs -->)", re.DOTALL)
OUTPUTS = {"tables": TABLES, "figures": FIGURES}
PLACES = {"network": "one per network and data set", "dataset": "one per data set", "timed network": "one per network"}


def embedded(text: str) -> str:
    """The page with every marked table as it is in the table's file, and the lists as they are in the catalogue."""
    text = PLACE.sub(lambda m: f"{m[1]}{(ROOT / m[2]).read_text(encoding='utf-8').strip()}\n{m[3]}", text)
    return LIST.sub(lambda m: f"{m[1]}{listed(m[2])}{m[3]}", text)


def listed(kind: str) -> str:
    """All tables or figures of the catalogue, as a Markdown table."""
    lines = ["| name | what it shows |", "|---|---|"]
    for entry in OUTPUTS[kind].values():
        place = f" ({PLACES[entry.per]})" if entry.per in PLACES else ""
        lines.append(f"| `{entry.name}`{place} | {entry.caption} |")
    return "\n".join(lines) + "\n"


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
