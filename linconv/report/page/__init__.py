"""The report: one self-contained HTML page made of result files alone. Imports no torch."""

from linconv.report.page.build import build_report, report_html

__all__ = ["build_report", "report_html"]
