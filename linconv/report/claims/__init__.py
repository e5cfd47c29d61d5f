"""The paper's claims and ours, each with evidence and a verdict computed from results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from linconv.catalogue.claims import CLAIMS
from linconv.report.claims.model import Claim, Verdict
from linconv.report.claims.page import ERRATA, claims_markdown, protocol_deviations
from linconv.report.source import Experiment, load_experiment
from linconv.results import ResultError, write_text

__all__ = ["ERRATA", "Claim", "Verdict", "claims", "claims_markdown", "protocol_deviations", "render_claims"]


def claims(experiments: Sequence[Experiment]) -> list[Claim]:
    """Every claim with the verdict that the results of some experiments together allow.

    Supported and not supported follow each claim's own rule; undecided means that there are results and they do not
    suffice; not measured that there are none.
    """
    return [claim for entry in CLAIMS.values() for claim in entry.load()(experiments)]


def render_claims(root: str | Path) -> Path:
    """Write claims.md to the folder of an experiment, or of several, and return its path.

    Args:
        root: results/<experiment>, or a folder that holds such folders.

    Raises:
        ResultError: there is no experiment, or its data are missing or damaged.
    """
    root = Path(root)
    folders = [root] if (root / "config.yaml").exists() else sorted(p.parent for p in root.glob("*/config.yaml"))
    if not folders:
        raise ResultError(f"{root}: holds no experiment (config.yaml and data/); name a folder below results/")
    return write_claims(root, [load_experiment(folder) for folder in folders])


def write_claims(folder: Path, experiments: Sequence[Experiment]) -> Path:
    """Write the claims on some experiments that are loaded to claims.md in a folder and return its path."""
    write_text(folder / "claims.md", claims_markdown(claims(experiments), experiments))
    return folder / "claims.md"
