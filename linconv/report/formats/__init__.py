"""The formats of a table as text: Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable

from linconv.report.formats.html import to_html
from linconv.report.formats.latex import to_latex
from linconv.report.formats.markdown import to_markdown
from linconv.report.table import Table

# Ending of the file -> what writes the table.
WRITERS: dict[str, Callable[[Table], str]] = {"md": to_markdown, "tex": to_latex, "html": to_html}
