"""Write the table of docs/what-works.md anew: which tool of PyTorch works with which method.

`python docs/what_works.py` tries every tool on every method; with `--check` it only says whether the page is up to
date. The table has one column for the methods that equal a plain convolution and one for the others; it names a method
only where the method differs from its column.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from linconv.catalogue.methods import METHODS
from linconv.testing.subject import subject_of
from linconv.testing.works import TOOLS, what_works

PAGE = Path(__file__).resolve().parent / "what-works.md"
START, END = "<!-- what works -->\n", "<!-- /what works -->"
HEAD = "| tool | methods that fold | methods that do not fold |\n|---|---|---|"


def table(found: dict[str, dict[str, str]]) -> str:
    """The table of what was found, by method and tool."""
    return "\n".join(
        [HEAD, *(f"| {tool} | {_cell(found, tool, True)} | {_cell(found, tool, False)} |" for tool in TOOLS)]
    )


def _cell(found: dict[str, dict[str, str]], tool: str, folds: bool) -> str:
    outcomes = {method: found[method][tool] for method in found if METHODS[method].folds == folds}
    usual, _ = Counter(outcomes.values()).most_common(1)[0]
    return "; ".join([usual, *(f"`{method}`: {one}" for method, one in outcomes.items() if one != usual)])


def stated(method: str) -> dict[str, str]:
    """What the page says of a method, by tool."""
    rows = PAGE.read_text(encoding="utf-8").split(START)[1].split(END)[0].splitlines()[2:]
    cells = {tool: cell for tool, *cell in (row.strip("| ").split(" | ") for row in rows)}
    said = {tool: cell[0 if METHODS[method].folds else 1] for tool, cell in cells.items()}
    return {
        tool: dict(re.findall(r"`(\w+)`: (\w+)", text)).get(method, text.split(";")[0]) for tool, text in said.items()
    }


def page(text: str) -> str:
    """The page with the table measured now."""
    before, rest = text.split(START)
    found = {method: what_works(subject_of(method)) for method in METHODS}
    return f"{before}{START}{table(found)}\n{END}{rest.split(END)[1]}"


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
