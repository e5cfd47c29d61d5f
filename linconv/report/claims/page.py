"""The claims as a page, with the protocol_deviations from the published protocol and the errata found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linconv.config import PRESETS, VARIANTS, Config
from linconv.report.claims.model import Claim
from linconv.report.claims.scope import evidence
from linconv.report.formats import to_markdown
from linconv.report.labels import place_label, variant_label
from linconv.report.source import Experiment
from linconv.report.table import Column, Table
from linconv.report.text import percent

# Facts of the paper and of the authors' released code; docs/reproduction.md has their derivations.
ERRATA = (
    "The FLOP column adds multiply-accumulates of convolutions to multiplications plus additions elsewhere, charges a "
    "bias once per input channel, and charges once per image what LinearConv spends once per step, with all input "
    "channels even in grouped convolutions. Decoded so, 14 of 18 cells come out to the printed digit; it is no cost "
    "model.",
    "AllConv: the released variants pad their 1x1 convolution by 1, the plain network does not. The FLOP cells of "
    "Lr and LRr include that, so the variant is not the baseline's network.",
    "AllConv: the released code drops units at test time too, and clips the class scores at 0.",
    "ResNet-18 is trained by Adam at a rate of 0.1: a weak baseline, 91.9 % on CIFAR-10 where a usual recipe gives "
    "about 95 %.",
    "ResNet-18 Lr: the FLOP cell counts a bias in every LinearConv, where the network has none. MobileNetV2 LRr: "
    "the cell is cut to its digits, not rounded.",
    "Table 2: the 0.49 M parameters of SqueezeNet-LRr fit neither rank 10 in every layer (0.397 M) nor full "
    "coefficients (0.496 M).",
    "The sparse variant's schedule goes on during evaluation in the released code, and its threshold is not saved.",
    "The correlation penalty cannot reach 0 where a layer has as many primaries as numbers per filter, and is NaN "
    "for a constant filter.",
)
_FIXED = (
    "Dropout in AllConv acts in training only, no ReLU follows its class scores, its 1x1 convolution is padded "
    "nowhere.",
    "The sparse schedule advances with training steps only, and its thresholds are saved.",
    "The correlation of a constant filter counts as 0.",
    "Accuracies are means over seeds; the paper has one run per cell and does not say which epoch it reports.",
    "Training uses whichever exact form of the layer is expected to be faster (`mode: auto`), the paper's weight "
    "space.",
)


def claims_markdown(claims: Sequence[Claim], experiments: Sequence[Experiment] = ()) -> str:
    """The verdicts, then each claim with its evidence and rule, protocol_deviations and errata, as Markdown."""
    table = Table(
        caption="Verdicts are computed: supported and not supported follow the rule that stands with each claim; "
        "undecided: there are results, but they do not suffice; not measured: there are none.",
        columns=[Column("claim", align="l"), Column("of", align="l"), Column("verdict", align="l")],
        rows=[[claim.statement, claim.source, claim.verdict] for claim in claims],
    )
    parts = ["# Claims and verdicts\n", to_markdown(table)]
    if experiments:
        names = ", ".join(f"`{e.config.experiment}`" for e in experiments)
        parts.append(f"From the results of {names}.\n")
    for claim in claims:
        parts += [*_one(claim), ""]
    parts += ["## Deviations from the published protocol\n", *(f"* {d}" for d in protocol_deviations(experiments)), ""]
    parts += ["## Errata found\n", *(f"* {erratum}" for erratum in ERRATA)]
    return "\n".join(parts) + "\n"


def _one(claim: Claim) -> Iterator[str]:
    """A claim beside the paper's own sentence, its verdict, and what the verdict rests on."""
    yield f"## {claim.statement}\n"
    if claim.quote:
        yield f"> The paper: \u201c{claim.quote}\u201d\n"
    yield f"**{claim.verdict[0].upper()}{claim.verdict[1:]}** ({claim.source}).\n"
    yield f"* Evidence: {claim.evidence}"
    if claim.preliminary:
        yield f"* Beside the verdict, which does not rest on it: {claim.preliminary}"
    yield f"* Rule: {claim.rule}"
    if claim.runs:
        yield f"* Runs: {', '.join(f'`{run}`' for run in claim.runs)}"


def protocol_deviations(experiments: Sequence[Experiment]) -> list[str]:
    """What was done otherwise than published: everywhere, and in these experiments by their configurations."""
    return [*_FIXED, *(text for experiment in experiments for text in _own(experiment))]


def _own(experiment: Experiment) -> Iterator[str]:
    """The protocol_deviations of one experiment."""
    name = experiment.config.experiment
    for text in (*_recipes(experiment), *_protocol(experiment.config), *_variants(experiment.config)):
        yield f"`{name}`: {text}"


def _recipes(experiment: Experiment) -> Iterator[str]:
    config = experiment.config
    places: dict[str, list[str]] = {}
    for dataset, architecture in dict.fromkeys((c.dataset, c.architecture) for c in experiment.cells):
        ours, paper = config.recipe.resolve(architecture, dataset), PRESETS["paper"][architecture]
        changes = [
            f"{name} {getattr(ours, name)} instead of {getattr(paper, name)}"
            for name in type(paper).model_fields
            if getattr(ours, name) != getattr(paper, name)
        ]
        if changes:
            places.setdefault(", ".join(changes), []).append(place_label(architecture, dataset))
    for text, found in places.items():
        yield f"{text} ({'; '.join(found)})."


def _protocol(config: Config) -> Iterator[str]:
    if not config.augment:
        yield "no augmentation."
    if config.validation is not None:
        yield f"{percent(config.validation.share)} of the training images are held out for validation, not trained on."
    if config.report_epoch == "best_validation":
        yield (
            "accuracies are those of the epoch with the best accuracy on the validation part, chosen anew for every "
            "run."
        )


def _variants(config: Config) -> Iterator[str]:
    for variant in config.variants:
        if variant in VARIANTS and config.known_variants[variant] != VARIANTS[variant]:
            yield f"{variant_label(variant)} has a definition of its own, see its config.yaml."
    others = [v for v in config.variants if v != "conv" and v not in evidence(config)]
    if others:
        yield (
            "no evidence for any claim, since they are not LinearConv in every convolution with half of the filters "
            "primary from the first step on, with the paper's regularizers alone: "
            f"{', '.join(map(variant_label, others))}."
        )
