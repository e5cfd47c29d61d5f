"""The paper's claims and ours, each with evidence and a verdict computed from results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from linconv.report.claims.accuracy import on_par, plug_and_play
from linconv.report.claims.costs import (
    feature_space,
    half_the_parameters,
    inference,
    no_gain,
    training_overhead,
)
from linconv.report.claims.filters import controlled_redundancy, orthogonal_primaries
from linconv.report.claims.model import Claim, Verdict
from linconv.report.claims.page import ERRATA, claims_markdown, protocol_deviations
from linconv.report.claims.printed import printed_columns
from linconv.report.claims.times import measured_speed
from linconv.report.source import Experiment, load_experiment
from linconv.results import ResultError, write_text

__all__ = ["ERRATA", "Claim", "Verdict", "claims", "claims_markdown", "protocol_deviations", "render_claims"]


# In the order of the page. Each reads the results of all experiments together.
CLAIMS: tuple[Callable[[Sequence[Experiment]], Iterator[Claim]], ...] = (
    half_the_parameters,
    on_par,
    inference,
    orthogonal_primaries,
    controlled_redundancy,
    plug_and_play,
    training_overhead,
    printed_columns,
    feature_space,
    no_gain,
    measured_speed,
)


def claims(experiments: Sequence[Experiment]) -> list[Claim]:
    """Every claim with the verdict that the results of some experiments together allow.

    Supported and not supported follow each claim's own rule; undecided means that there are results and they do not
    suffice; not measured that there are none.
    """
    return [claim for decide in CLAIMS for claim in decide(experiments)]


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
    experiments = [load_experiment(folder) for folder in folders]
    write_text(root / "claims.md", claims_markdown(claims(experiments), experiments))
    return root / "claims.md"
