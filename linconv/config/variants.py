"""Variants: a named layer, its options and its regularizers. The built-in ones are data of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, InstanceOf, field_validator, model_validator

from linconv.catalogue.frozen import Formerly, Frozen, OmitDefaultFromHash
from linconv.catalogue.regularizers import REGULARIZERS, RegularizerEntry
from linconv.catalogue.variants import BUILT_IN
from linconv.config.methods import PLAIN, known_methods
from linconv.config.names import check_known
from linconv.config.pruning import Pruning
from linconv.config.rules import Init, Mode, Rank, Share


class LinearOptions(Frozen):
    """Options of `linconv.LinearConv2d`, see its documentation."""

    primary_ratio: Share = 0.5
    rank: Rank | None = None
    sparsity: Share | None = None
    mode: Mode = "auto"
    init: Init = "paper"

    @model_validator(mode="after")
    def _one_kind(self) -> LinearOptions:
        if self.rank is not None and self.sparsity is not None:
            raise ValueError("rank and sparsity exclude each other: choose low-rank or sparse coefficients")
        return self


class MethodOptions(Frozen):
    """Options of any other layer, whose signature says which; `linconv.layers.check_methods` holds them to it."""

    model_config = ConfigDict(extra="allow")


class Regularizer(Frozen):
    """A term weight * penalty(model) of the loss, added on every `period`-th batch.

    `name` is one of `linconv.catalogue.regularizers`, which gives the weight where none is stated. A term acts on the
    primary filters of LinearConv layers, or with `acts_on: filters` on all filters of every convolution; one that needs
    sparse coefficients acts on those. `mode` belongs to `correlation`.
    """

    name: str
    weight: Annotated[float, Field(gt=0)] = 0.01
    mode: Annotated[Literal["paper", "normalized"], Formerly(values=(("normalized", "normalised"),))] = "paper"
    period: Annotated[int, Field(ge=1)] = 1
    acts_on: Annotated[Literal["primaries", "filters"], OmitDefaultFromHash] = "primaries"

    @model_validator(mode="before")
    @classmethod
    def _weight_by_name(cls, values: Any) -> Any:
        if not isinstance(values, dict) or (entry := REGULARIZERS.get(str(values.get("name")))) is None:
            return values
        return {"weight": entry.weight} | values

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        check_known([name], REGULARIZERS, "regularizer")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Regularizer:
        if self.mode != "paper" and "mode" not in self.entry.takes:
            raise ValueError(f"mode belongs to correlation; {self.name} has none")
        if self.acts_on == "filters" and self.entry.needs_sparse_coefficients:
            raise ValueError(f"{self.name} acts on sparse coefficients, never on filters; leave out `acts_on`")
        return self

    @property
    def entry(self) -> RegularizerEntry:
        """What the catalogue says of it."""
        return REGULARIZERS[self.name]

    def check_acts(self, layer: str, options: LinearOptions | None) -> None:
        """Raise ValueError where this would act on nothing: no layer of such a variant has what it looks at."""
        if self.entry.needs_sparse_coefficients:
            if options is None or options.sparsity is None:
                raise ValueError(f"{self.name} would act on nothing: it needs options.sparsity, sparse coefficients")
        elif self.acts_on == "primaries" and layer == PLAIN:
            raise ValueError(
                f"{self.name} would act on nothing: layer '{layer}' has no primary filters; say acts_on: filters"
            )


class SparsityScheduleOptions(Frozen):
    """Options of `linconv.SparsitySchedule`; the defaults are the paper's."""

    period: Annotated[int, Field(ge=1)] = 500
    step_size: Annotated[float, Field(gt=0)] = 1e-5
    initial_threshold: Annotated[float, Field(ge=0)] = 0.0


class Variant(Frozen):
    """What replaces the convolutions of a network, and the terms added to its loss.

    `layer` is "conv", the plain convolution, or a name of `linconv.config.methods`. `include`/`exclude` are patterns of
    module names (`fnmatch`), `skip_first` leaves the stem plain, `skip_last` the last convolution (a convolutional
    classifier), and `only_where_saves` every convolution that would gain parameters. For "conv" alone: `narrow_to`
    scales the widths of the whole network until it has as many parameters as another variant, or that share of its own;
    `pruning` takes channels from it in training. `warm_start` trains the plain network for that share of the epochs and
    then replaces its convolutions by layers that start from the trained filters (Pufferfish, Wang et al., MLSys 2021).
    """

    layer: str
    # an instance, which _options_of_methods makes: never a mapping meant for LinearConv
    options: LinearOptions | InstanceOf[MethodOptions] | None = None
    regularizers: tuple[Regularizer, ...] = ()
    sparsity_schedule: SparsityScheduleOptions | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    skip_first: bool = False
    skip_last: Annotated[bool, OmitDefaultFromHash] = False
    only_where_saves: bool = False
    pruning: Annotated[Pruning | None, OmitDefaultFromHash] = None
    narrow_to: Annotated[Annotated[float, Field(gt=0, lt=1)] | Variant | None, OmitDefaultFromHash] = None
    warm_start: Annotated[Annotated[float, Field(gt=0, lt=1)] | None, OmitDefaultFromHash] = None

    if TYPE_CHECKING:  # options may be written as a mapping, which a validator turns into an instance

        def __init__(
            self,
            *,
            layer: str,
            options: LinearOptions | MethodOptions | Mapping[str, Any] | None = None,
            regularizers: Sequence[Regularizer] = (),
            sparsity_schedule: SparsityScheduleOptions | None = None,
            include: Sequence[str] | None = None,
            exclude: Sequence[str] = (),
            skip_first: bool = False,
            skip_last: bool = False,
            only_where_saves: bool = False,
            pruning: Pruning | None = None,
            narrow_to: float | Variant | None = None,
            warm_start: float | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _options_of_methods(cls, raw: Any) -> Any:
        """The options of "linear" are checked here, those of other layers by the layers."""
        if not isinstance(raw, Mapping) or raw.get("layer") == "linear" or not isinstance(raw.get("options"), Mapping):
            return raw
        return {**raw, "options": MethodOptions.model_validate(dict(raw["options"]))}

    @field_validator("layer")
    @classmethod
    def _known(cls, layer: str) -> str:
        check_known([layer], [PLAIN, *known_methods()], "layer")
        return layer

    @model_validator(mode="after")
    def _consistent(self) -> Variant:
        if self.layer == "linear" and isinstance(self.options, MethodOptions):
            raise ValueError(f"layer 'linear' has no such options: {self.options!r}")
        if self.layer == PLAIN:
            for name in ("only_where_saves", "options", "skip_first", "skip_last", "sparsity_schedule", "warm_start"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"layer 'conv' is the plain convolution and takes no {name}")
        elif self.narrow_to is not None:
            raise ValueError(f"narrow_to needs layer 'conv', not '{self.layer}': it scales the plain network")
        elif self.pruning is not None:
            raise ValueError(f"pruning cuts plain convolutions; layer '{self.layer}' takes none")
        if isinstance(self.narrow_to, Variant) and (self.narrow_to.narrow_to or self.narrow_to.pruning):
            raise ValueError("narrow_to leads to a variant whose own size is found by training or narrowing")
        if self.sparsity_schedule is not None and (self.linear is None or self.linear.sparsity is None):
            raise ValueError("a sparsity_schedule needs options.sparsity, the share of zeros to reach")
        for regularizer in self.regularizers:
            regularizer.check_acts(self.layer, self.linear)
        return self

    @property
    def linear(self) -> LinearOptions | None:
        """The options of a LinearConv variant, the defaults where it states none; None for any other layer."""
        if self.layer != "linear":
            return None
        return self.options if isinstance(self.options, LinearOptions) else LinearOptions()

    @property
    def changed_by(self) -> Literal["pruning", "warm_start"] | None:
        """What gives the network other layers or shapes while it is trained, if anything does."""
        if self.pruning is not None:
            return "pruning"
        return "warm_start" if self.warm_start is not None else None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose code decides what this is: its own, and that of the variant it is as small as."""
        return (self.layer, *(self.narrow_to.layers if isinstance(self.narrow_to, Variant) else ()))

    @property
    def layer_options(self) -> dict[str, Any]:
        """The keyword arguments of the layer."""
        return {} if self.options is None else self.options.model_dump()


def needs_check(variants: Mapping[str, Variant]) -> bool:
    """Whether a variant has options that only the class of its method knows, see `linconv.layers.check_methods`."""
    return any(variant.layer not in (PLAIN, "linear") for variant in variants.values())


VARIANTS: dict[str, Variant] = {name: Variant.model_validate(dict(values)) for name, values in BUILT_IN.items()}
