"""Every figure, in the order of the page. A new figure is a module in `linconv.report.figures` and an entry here.

The figures of one measurement alone stand in the measurement's own entry.
"""

from __future__ import annotations

from linconv.catalogue._entry import by_name
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.catalogue.outputs import ANSWER, CORRELATIONS, FILTERS, RUNS, Output

FIGURES: dict[str, Output] = by_name(
    *(figure for measurement in MEASUREMENTS.values() for figure in measurement.figures),
    Output(
        name="pareto",
        label="Accuracy over cost",
        caption="Accuracy over parameters, over multiply-accumulates and, where it was measured, over time, for every "
        "network and variant on one data set.",
        target="linconv.report.figures.pareto:pareto_figure",
        per="dataset",
        needs=RUNS,
    ),
    Output(
        name="differences",
        label="Differences to Conv",
        caption="Differences in accuracy to the plain convolution, with their simultaneous intervals and the "
        "margin of equivalence.",
        target="linconv.report.figures.differences:differences_figure",
        per="dataset",
        needs=RUNS,
    ),
    Output(
        name="answer",
        label="Accuracy lost, and cost saved",
        caption="Differences in accuracy to the plain network with their simultaneous intervals, over parameters, over "
        "multiply-accumulates and, where it was measured, over time, all as shares of the plain network's.",
        target="linconv.report.figures.answer:answer_figure",
        per="network",
        needs=ANSWER,
    ),
    Output(
        name="panels",
        label="Accuracy, parameters and operations",
        caption="Accuracy, parameters and operations of the variants of one network on one data set; the spread is "
        "over the seeds.",
        target="linconv.report.figures.panels:panels_figure",
        per="network",
        needs=RUNS,
    ),
    Output(
        name="correlations",
        label="Correlations between filters",
        caption="Pearson correlations between the filters of chosen convolutions of a trained network: the plain "
        "convolution beside its LinearConv variants.",
        target="linconv.report.figures.correlations:correlations_figure",
        per="network",
        needs=CORRELATIONS,
    ),
    Output(
        name="curves",
        label="Learning curves",
        caption="Training loss and test accuracy of the variants of one network per epoch; the spread is over the "
        "seeds.",
        target="linconv.report.figures.curves:curves_figure",
        per="network",
        needs=RUNS,
    ),
    Output(
        name="redundancy",
        label="Redundancy by layer",
        caption="How redundant the filters of each convolution are, before and after training: correlations of pairs "
        "of filters, effective rank and variance entropy, layer by layer.",
        target="linconv.report.figures.redundancy:redundancy_figure",
        per="network",
        needs=FILTERS,
    ),
    Output(
        name="filters",
        label="Filter metrics by layer",
        caption="Metrics of the trained filters, layer by layer, of all variants: correlation, effective rank, "
        "sparsity, variance entropy and orthogonality. Darker is more redundant.",
        target="linconv.report.figures.filters:filters_figure",
        per="network",
        needs=FILTERS,
    ),
)
