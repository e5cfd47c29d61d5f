"""Every figure, in the order of the page. A new figure is a module in `linconv.report.figures` and an entry here."""

from __future__ import annotations

from linconv.catalogue._entry import by_name
from linconv.catalogue.outputs import ANSWER, BATCHES, CORRELATIONS, FILTERS, MEMORY, RUNS, TIMES, Output

FIGURES: dict[str, Output] = by_name(
    Output(
        name="speed",
        label="Relative time",
        caption="Time of a call relative to the plain network, over the multiply-accumulates that are left and over "
        "the batch: medians over interleaved rounds of the ratio within a round. The grey band is the A/A band.",
        target="linconv.report.figures.speed:speed_figure",
        needs=TIMES,
    ),
    Output(
        name="memory",
        label="Relative peak memory",
        caption="Peak memory of a call relative to the plain network, per network, variant and form, and over the "
        "batch where several were timed: of parameters, gradients, the optimizer's state, images and all that the "
        "call makes.",
        target="linconv.report.figures.memory:memory_figure",
        needs=MEMORY,
    ),
    Output(
        name="throughput",
        label="Images per second",
        caption="Images per second over the batch, at inference and in training, for the plain network and each "
        "variant in the form auto, and optimized for inference.",
        target="linconv.report.figures.throughput:throughput_figure",
        per="timed network",
        needs=BATCHES,
    ),
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
