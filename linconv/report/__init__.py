"""Tables, figures and claims of an experiment, rendered from its collected data. Imports no torch."""

from linconv.report.claims import render_claims
from linconv.report.figures import render_figures
from linconv.report.tables import render_tables

__all__ = ["render_claims", "render_figures", "render_tables"]
