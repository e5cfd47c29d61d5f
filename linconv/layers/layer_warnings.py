"""What a network and its regularizers cannot reach together: warnings, each with a code, a layer and a message.

Source: E. M. Achour, F. Malgouyres, F. Mamalet, "Existence, Stability and Scalability of Orthogonal Convolutional
Neural Networks", JMLR 23 (2022), for orthogonal convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from linconv.layers.orthogonality import effective_stride, group_size
from linconv.layers.regularizers import On, filters_of

if TYPE_CHECKING:
    from linconv.config import Regularizer


class LayerWarning(NamedTuple):
    """A warning about a layer: `code` says of what kind, `layer` is its name ("" for the model itself)."""

    code: str
    layer: str
    message: str


def never_orthogonal(model: nn.Module, on: On = "primaries") -> list[LayerWarning]:
    """The layers that no choice of filters makes an orthogonal convolution, in order of registration.

    M filters of C channels and k x k taps, stride S, a circular signal at least as large as the kernel:
    with M <= C S^2 there is a convolution with orthonormal rows iff M <= C k^2; with M >= C S^2 there is one with
    orthonormal columns iff S <= k (Achour et al., theorem on existence). Both say that the taps, taken modulo the
    stride, reach q of the S^2 places of an input block: M <= C q is needed, since the rows live on what is seen, and
    is enough, since filters with one tap per place overlap nowhere but with themselves; all S^2 must be seen for
    orthonormal columns. In that form it holds for dilated and oblong kernels, and for each group by itself.
    LinearConv's full bank has the rank P of its primary filters and no more: with `on="filters"` M <= P, or
    C S^2 <= P, is needed as well. What other layers make of their filters is not looked at. A 1x1 convolution may be
    among them (a shortcut of stride 2 that doubles the channels is) though its penalty, that of a matrix, can become 0.
    """
    found = []
    for name, module, filters in filters_of(model, on):
        rows, channels = min(group_size(module, filters), len(filters)), filters.shape[1]
        places = math.prod(module.stride)
        seen = math.prod(map(min, filters.shape[-2:], effective_stride(module)))
        rank = getattr(module, "primaries", None) if on == "filters" else None
        if reason := _impossible(rows, channels, places, seen, math.inf if rank is None else rank):
            found.append(LayerWarning("never_orthogonal", name, reason))
    return found


def _impossible(rows: int, channels: int, places: int, seen: int, rank: float) -> str | None:
    """Why no `rows` filters of `channels` channels make an orthogonal convolution; None where some do."""
    if rows <= channels * places:
        needed, limit = rows, channels * seen
        if rows > limit:
            return f"{rows} orthonormal rows need as many seen inputs per block, and there are {limit}"
    else:
        needed = channels * places
        if seen < places:
            return f"the kernel sees {seen} of {places} inputs per block and channel, the rest have zero columns"
    return f"a rank of {needed} is needed, and the {rank} primary filters give no more" if needed > rank else None


# What warns for a regularizer, by its name: from the model and what the regularizer acts on.
PRODUCERS: dict[str, Callable[[nn.Module, On], list[LayerWarning]]] = {"conv_orthogonal": never_orthogonal}


def network_warnings(model: nn.Module, regularizers: Iterable[Regularizer]) -> list[LayerWarning]:
    """Every warning about a model that is trained with some regularizers, in the order of the regularizers."""
    return [
        warning
        for regularizer in regularizers
        if regularizer.name in PRODUCERS
        for warning in PRODUCERS[regularizer.name](model, regularizer.acts_on)
    ]
