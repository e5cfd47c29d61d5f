"""Tables and figures of an experiment, rendered from its collected data. Imports no torch."""

from linconv.report.figures import render_figures
from linconv.report.tables import render_tables

__all__ = ["render_figures", "render_tables"]
