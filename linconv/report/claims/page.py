"""The claims as a page."""

from __future__ import annotations

from collections.abc import Sequence

from linconv.report.claims.model import Claim


def claims_markdown(claims: Sequence[Claim]) -> str:
    """The verdicts, then each claim with its evidence and its rule, as Markdown."""
    lines = ["# Claims and verdicts", ""]
    lines += [f"* **{claim.verdict}**: {claim.statement} ({claim.source})" for claim in claims]
    for claim in claims:
        lines += ["", f"## {claim.statement}", "", f"Verdict: **{claim.verdict}**. {claim.evidence}", "", claim.rule]
        if claim.runs:
            lines += ["", f"Runs: {', '.join(f'`{run}`' for run in claim.runs)}"]
    return "\n".join(lines) + "\n"
