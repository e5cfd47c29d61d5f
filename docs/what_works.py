"""Write the table of docs/what-works.md anew: which tool of PyTorch works with which method.

`python docs/what_works.py` tries every tool on every method; with `--check` it only says whether the page is up to
date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from linconv.catalogue.methods import METHODS
from linconv.testing.subject import subject_of
from linconv.testing.works import TOOLS, what_works

PAGE = Path(__file__).resolve().parent / "what-works.md"
START, END = "<!-- what works -->\n", "<!-- /what works -->"


def row(method: str) -> str:
    """The line of a method."""
    found = what_works(subject_of(method))
    return f"| `{method}` | {' | '.join(found[tool] for tool in TOOLS)} |"


def table() -> str:
    """The whole table, measured now."""
    head = f"| method | {' | '.join(TOOLS)} |\n|---{'|---' * len(TOOLS)}|"
    return "\n".join([head, *map(row, METHODS)])


def page(text: str) -> str:
    """The page with the table measured now."""
    before, rest = text.split(START)
    return f"{before}{START}{table()}\n{END}{rest.split(END)[1]}"


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    made = page(text)
    if "--check" in sys.argv:
        if made != text:
            sys.stderr.write("docs/what-works.md is out of date: python docs/what_works.py\n")
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
