"""From a folder of results to the page's text."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from linconv.report.answer import weight
from linconv.report.claims import ERRATA, Claim, claims, protocol_deviations
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.page.images import Drawn
from linconv.report.page.sections import Section, anchor, section, slugs
from linconv.report.source import Experiment, config_of, has_data_of, load_experiment
from linconv.report.verdicts import HOW_TO_READ
from linconv.results import ResultError
from linconv.results.collect import collect
from linconv.results.files import write_text
from linconv.results.folders import experiment_folders, read_experiment

HERE = Path(__file__).parent
VERDICTS = {"supported": "✓", "not supported": "✗", "undecided": "?", "not measured": "–"}


def build_report(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    workers: int = 1,
    rendered: Mapping[Path, Rendered] = MappingProxyType({}),
) -> Path:
    """Write the report on `folder` to `output`, by default report.html in the folder; returns its path.

    Figures are drawn by `workers` processes, unless they were `rendered` before; see `report_html`.

    Raises:
        ResultError: the folder holds no experiment, or none that can be read.
    """
    path = Path(folder, "report.html") if output is None else Path(output)
    write_text(path, report_html(folder, workers=workers, rendered=rendered))
    return path


@dataclass(frozen=True)
class Rendered:
    """An experiment whose files were rendered, and its figures as the page shows them."""

    experiment: Experiment
    drawn: Drawn


def report_html(
    folder: str | Path, *, workers: int = 1, rendered: Mapping[Path, Rendered] = MappingProxyType({})
) -> str:
    """The report on an experiment's folder, or on a folder of them, as one page; the same results give the same bytes.

    Results are taken as they are: what is missing, damaged, stale or diverged is shown as such. In a folder of
    experiments, one that cannot be read is named on the page.

    Args:
        folder: of an experiment or of several.
        workers: processes that draw figures.
        rendered: by folder what was rendered of an experiment. Where the results give the data that it was rendered of,
            nothing is computed or drawn again.

    Raises:
        ResultError: the folder holds no experiment, or none that can be read.
    """
    roots = experiment_folders(folder)
    sections: list[Section] = []
    experiments: list[Experiment] = []
    unreadable: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        for slug, root in zip(slugs(roots), roots, strict=True):
            try:
                known = rendered.get(root)
                experiment = collected(root, Path(temporary, slug), known.experiment if known else None)
                drawn = known.drawn if known is not None and experiment is known.experiment else None
                sections.append(section(slug, experiment, read_experiment(root), drawn, workers=workers))
            except ResultError as error:
                if len(roots) == 1:
                    raise
                unreadable.append(str(error).replace(f"{root}/", f"{root.name}/"))
                continue
            experiments.append(experiment)
        if not sections:
            raise ResultError("\n".join(unreadable))
        verdicts = claims(experiments)
        weights = map(weight, experiments)
        ordered = sorted(zip(weights, sections, strict=True), key=lambda pair: pair[0], reverse=True)
        sections = [section for _, section in ordered]
    return _render(
        title=f"{sections[0].name}: LinearConv results" if len(roots) == 1 else "LinearConv results",
        sections=sections,
        unreadable=unreadable,
        verdicts=[(claim, _cells(claim, sections)) for claim in verdicts],
        symbols=VERDICTS,
        how_to_read=HOW_TO_READ,
        remarks={"Deviations from the published protocol": protocol_deviations(experiments), "Errata found": ERRATA},
    )


def collected(root: Path, scratch: Path, loaded: Experiment | None = None) -> Experiment:
    """The collected data: collected anew where the result files are there, since the folder's may be older.

    Args:
        root: the experiment's folder.
        scratch: a folder for what is collected, which the experiment reads later as well.
        loaded: the experiment as it was loaded before; returned, with all that it has computed, where its data are
            still what the results give.
    """
    folder = root
    if (root / "runs").is_dir() or not (root / "data").is_dir():
        folder = scratch
        collect(config_of(root), root, partial=True, data=scratch / "data")
        write_text(scratch / "config.yaml", (root / "config.yaml").read_text(encoding="utf-8"))
    return loaded if loaded is not None and has_data_of(loaded, folder) else load_experiment(folder)


def _cells(claim: Claim, sections: Sequence[Section]) -> list[tuple[str, str]]:
    """Name and link of each cell that a claim rests on; no link where the page does not show it."""
    shown = {cell.id for section in sections for cell in section.cells}
    out = []
    for run in claim.runs:
        dataset, architecture, variant = (*run.split("/"), "", "")[:3]
        ids = (anchor(section.slug, dataset, architecture, variant) for section in sections)
        labels = (architecture_label(architecture), variant_label(variant) if variant else "")
        name = " ".join(filter(None, labels)) + (f" on {dataset_label(dataset)}" if dataset else "")
        out.append((name, next((f"#{i}" for i in ids if i in shown), "")))
    return out


def _prose(text: str) -> Markup:
    """Text as HTML: code and bold text as such, and no line break that takes a name such as Base-Lr apart."""
    whole = re.sub(r"-(?=L[A-Za-z]{0,2}\b)", "\N{NON-BREAKING HYPHEN}", text)
    marked = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", str(escape(whole)))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", marked))


def _render(**values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["prose"] = _prose
    parts = {name: Markup((HERE / f"report.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    return environment.get_template("report.html.j2").render(**values, **parts)
