"""The regularizers: terms of the loss, one function each in `linconv.layers`."""

from __future__ import annotations

from dataclasses import dataclass, field

from linconv.catalogue._entry import NO_OUTCOME, Entry, by_name


@dataclass(frozen=True, kw_only=True)
class RegularizerEntry(Entry):
    """A term of the loss; `target` computes it: `penalty(model, **arguments)`.

    Args:
        weight: factor of the term where the configuration does not say.
        takes: the arguments of the function that a configuration sets.
        needs_sparse_coefficients: the term acts on sparse coefficients, else on filters.
        source: the publication.
    """

    weight: float = field(default=0.01, metadata=NO_OUTCOME)
    takes: tuple[str, ...] = ()
    needs_sparse_coefficients: bool = field(default=False, metadata=NO_OUTCOME)
    source: str = field(metadata=NO_OUTCOME)


_LINEARCONV = "Kahatapitiya & Rodrigo, Exploiting the Redundancy in Convolutional Filters, WACV 2021"
_OCNN = "Wang, Chen, Chakraborty & Yu, Orthogonal Convolutional Neural Networks, CVPR 2020"

REGULARIZERS: dict[str, RegularizerEntry] = by_name(
    RegularizerEntry(
        name="correlation",
        label="correlation",
        target="linconv.layers.regularizers:correlation_penalty",
        takes=("mode", "on"),
        source=_LINEARCONV,
    ),
    RegularizerEntry(
        name="coefficient_l1",
        label="L1 of the coefficients",
        target="linconv.layers.regularizers:coefficient_l1",
        needs_sparse_coefficients=True,
        source=_LINEARCONV,
    ),
    RegularizerEntry(
        name="orthogonal",
        label="orthogonal filters",
        target="linconv.layers.orthogonality:orthogonal_penalty",
        weight=0.1,
        takes=("on",),
        source=_OCNN,
    ),
    RegularizerEntry(
        name="conv_orthogonal",
        label="orthogonal convolutions",
        target="linconv.layers.orthogonality:conv_orthogonal_penalty",
        weight=0.1,
        takes=("on",),
        source=_OCNN,
    ),
)
