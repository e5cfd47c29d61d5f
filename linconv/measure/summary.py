"""A printed table of a model's layers: shapes, parameters and multiply-accumulates."""

from __future__ import annotations

from torch import nn

from linconv.measure.complexity import complexity
from linconv.results.counts import Complexity

HEAD = ("layer", "kind", "output", "parameters", "MACs folded", "MACs in feature space")

NO_FORM = "n/a"


def summary(model: nn.Module, input_shape: tuple[int, int, int], batch_size: int = 1) -> None:
    """Print a line for each call of a convolution and linear layer, and the totals of `linconv.complexity`.

    Args:
        model: any module that takes a batch of images; it does not run, a copy of it does.
        input_shape: of one image, (c, h, w).
        batch_size: images per step, over which weight space spreads its coefficient product.

    Raises:
        ValueError, UserError: as `linconv.complexity`.
    """
    print(summary_text(complexity(model, input_shape, batch_size)))  # noqa: T201  (a table to look at is what it is for)


def summary_text(record: Complexity) -> str:
    """The table of a record, with its totals."""
    rows = [HEAD] + [
        (
            layer.layer or "(the model)",
            layer.kind,
            "x".join(map(str, layer.output_shape)),
            f"{layer.params:,}",
            f"{layer.macs_folded:,}",
            NO_FORM if layer.macs_feature is None else f"{layer.macs_feature:,}",
        )
        for layer in record.layers
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(_aligned, row, widths, range(len(row)))) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    if any(layer.macs_feature is None for layer in record.layers):
        lines.append(f"{NO_FORM}: the layer has no form in feature space and counts as it runs")
    totals = {
        "parameters": f"{record.params:,} ({record.params_folded:,} folded)",
        "MACs per image": f"{record.macs_auto:,} as it runs ({record.macs_folded:,} folded, "
        f"{record.macs_feature:,} in feature space, {record.macs_weight:,} in weight space)",
    }
    return "\n".join(line.rstrip() for line in (*lines, "", *(f"{what}: {value}" for what, value in totals.items())))


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)
