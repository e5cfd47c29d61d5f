"""Numbers and verdicts in the prose of README and docs are those of the reference results."""

from __future__ import annotations

import json
import re
import statistics

import pandas as pd
import pytest

from linconv.config import Config, load_config, plan_runs, resolve_run
from tests.workflow.conftest import REPOSITORY

REFERENCE = REPOSITORY / "results" / "reference"
PROSE = (
    "README.md",
    *(f"docs/{name}.md" for name in ("comparison", "deployment", "should-i-use-linearconv", "reproduction")),
)


def prose(page: str) -> str:
    """The text of a page without its tables and code, on one line."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    text = re.sub(r"<!-- table: .*?<!-- /table -->|^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(" ".join(line for line in text.splitlines() if not line.lstrip().startswith("|")).split())


WORDS = re.findall(
    r"\w+",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty",
)


def word(number: int) -> str:
    return WORDS[number - 1]


def contents(config: Config) -> dict[str, set[int]]:
    """How many of what a configuration has; runs may differ in their epochs."""
    runs = plan_runs(config)
    grid = {"networks": config.architectures, "variants": config.variants, "data sets": config.datasets}
    counts = {name: {len(values)} for name, values in (grid | {"seeds": config.seeds, "runs": runs}).items()}
    return counts | {"epochs": {resolve_run(config, key).recipe.epochs for key in runs}}


def false_counts(text: str, found: dict[str, set[int]]) -> list[str]:
    """Where a text names another number of something than there is."""
    named = re.findall(rf"\b(\d+|{'|'.join(WORDS)}) ({'|'.join(found)})\b", text)
    numbers = [(int(n) if n.isdigit() else WORDS.index(n) + 1, what) for n, what in named]
    return [f"{number} {what}" for number, what in numbers if number not in found[what]]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_what_is_said_of_a_configuration_is_in_it(path):
    text = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{re.escape(path.name)}` \| (.*) \|$", text, re.MULTILINE)
    own = " ".join(re.findall(r"^# ?(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    found = contents(load_config(path))
    assert (false_counts(row, found), false_counts(own, found)) == ([], [])


def test_the_networks_that_pages_say_are_trained_are_planned():
    paper, digits = (
        len(plan_runs(load_config(REPOSITORY / "config" / name))) for name in ("paper.yaml", "config.yaml")
    )
    assert f"it trains {paper} networks" in prose("docs/reproduction.md")
    assert f"| `digits` | {digits} networks on" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_a_false_count_is_recognized():
    found = contents(load_config(REPOSITORY / "config" / "paper.yaml"))
    assert false_counts("6 networks, five data sets, 250 epochs; 4 seeds, 30 epochs", found) == ["4 seeds", "30 epochs"]


def comparisons(experiment: str) -> pd.DataFrame:
    """Every difference of an experiment, by variant and reference (of base)."""
    frame = pd.read_csv(REFERENCE / experiment / "tables" / "comparisons.csv")
    return frame[frame["architecture"] == "base"].set_index(["variant", "reference"])


def counted(experiment: str) -> pd.DataFrame:
    return pd.read_csv(REFERENCE / experiment / "data" / "complexity.csv").set_index(["architecture", "variant"])


def share(experiment: str, architecture: str, variant: str, column: str = "params") -> float:
    """A count as a share of the plain network's."""
    models = counted(experiment)[column]
    return models[architecture, variant] / models[architecture, "conv"]


def answers() -> dict[str, str]:
    """Sentences of README and "Should I use LinearConv?" with the values that CIFAR-10 gives."""
    found = comparisons("cifar10-short")
    to_plain, to_narrow = ({v: found.loc[(v, r)] for v in ("Lr", "LRr", "lowrank")} for r in ("conv", "narrow"))
    narrow = found.loc[("narrow", "conv")]
    lost = {v: f"{-row['difference_mean']:.2f}" for v, row in to_plain.items()}
    sizes = sorted(100 * share("cifar10-short", "base", v) for v in ("Lr", "LRr"))
    low, lower = to_narrow["Lr"], to_narrow["LRr"]
    page = "docs/should-i-use-linearconv.md"
    ends = ("difference_low", "difference_high")
    mnist = comparisons("mnist-short").xs("conv", level="reference").loc[["LRr", "narrow", "lowrank"]]
    assert set(mnist["outcome"]) == {"undecided"}
    means = sorted(-mnist["difference_mean"])
    return {
        f"LRr, the narrower network and low rank lose {means[0]:.2f} to {means[-1]:.2f} points on average, which is "
        f"undecided; none of them loses more than {-mnist['difference_low'].min():.2f}": page,
        f"LinearConv costs {lost['Lr']} points of accuracy with full coefficients (Lr, {sizes[1]:.0f} % of the "
        f"parameters) and {lost['LRr']} points with rank 10 (LRr, {sizes[0]:.0f} %)": "README.md",
        f"fewer channels costs {-narrow['difference_mean']:.2f} points": "README.md",
        f"loses {lost['Lr']} points with Lr at {sizes[1]:.0f} % of its parameters, and {lost['LRr']} points with rank "
        f"10 (LRr) at {sizes[0]:.0f} %": page,
        f"fewer channels, loses {-narrow['difference_mean']:.2f} points": page,
        f"better, by {low['difference_mean']:.2f} points, is not shown: the interval is "
        f"{low[ends[0]]:+.2f} to {low[ends[1]]:+.2f}": page,
        f"{-lower['difference_mean']:.2f} points below, from {lower[ends[0]]:+.2f} to {lower[ends[1]]:+.2f}": page,
        "narrower network**: {:+.2f} to {:+.2f}".format(*(to_narrow["lowrank"][end] for end in ends)): page,
    }


def sizes() -> dict[str, str]:
    """Counts that README gives."""
    kept = [100 * share("digits", a, v) for a in ("vgg11", "resnet18") for v in ("L", "Lr", "LRr")]
    return {
        f"VGG11 and ResNet-18 keep {min(kept):.0f} to {max(kept):.0f} % of their parameters": "README.md",
        f"MobileNetV2 grows to {share('digits', 'mobilenetv2', 'Lr'):.2f} times its size": "README.md",
    }


def latencies() -> dict[str, str]:
    """Times of inference: in engines on a CPU, and where nothing is gained."""
    timed = [pd.read_csv(REFERENCE / name / "data" / "throughput.csv") for name in ("mnist", "cifar10-short")]
    found = timed[0][(timed[0]["batch_size"] == 1) & (timed[0]["form"] == "optimized")].set_index("architecture")
    assert set(found["device"]) == {"cpu"}
    assert (1 - found.loc[["base"], "ratio"] < found.loc[["base"], "band"]).all(), "base gains"
    assert not ((timed[1]["batch_size"] == 1) & (timed[1]["device"] == "cuda")).any(), "a GPU was timed at batch 1"
    small = timed[0][
        (timed[0]["batch_size"] == 1) & (timed[0]["form"] == "auto") & (timed[0]["architecture"] == "base")
    ]
    chosen = small[small["variant"].isin(["Lr", "LRr"]) & (small["activity"] == "inference")]["ratio"]
    engines = pd.read_csv(REFERENCE / "deployment" / "data" / "deployment.csv")
    assert set(engines["threads"]) == {1}
    cell = ["precision", "engine", "architecture", "batch_size"]
    fastest = engines[engines["form"] != "plain"].groupby([*cell, "variant"])["ratio"].min().reset_index()
    narrow = fastest["variant"] == "narrow_L"

    def between(rows: pd.Series) -> str:
        return f"{rows.min():.2f} to {rows.max():.2f}"

    linear, control = (
        {p: between(own["ratio"]) for p, own in fastest[n].groupby("precision")} for n in (~narrow, narrow)
    )
    onnx = fastest[(fastest["precision"] == "fp32") & (fastest["engine"] == "onnxruntime")]
    beside = onnx.pivot_table(index=cell, columns="variant", values="ratio")
    assert (beside[["L", "LRr"]].max(axis=1) < beside["narrow_L"]).all(), "the faster one in all cells of onnxruntime"
    own, other = (between(onnx[onnx["variant"].eq("narrow_L") == is_narrow]["ratio"]) for is_narrow in (False, True))
    int8 = engines[(engines["precision"] == "int8") & (engines["form"] == "feature")]["ratio"]
    assert (int8 > 1).all()
    return {
        f"nothing is gained in `base` at batch 1 in PyTorch on a CPU (`auto` takes {between(chosen)} of the plain "
        "time); at batch 1 no GPU was timed": "README.md",
        f"take {own} of the plain time there, with fewer channels {other}. Over onnxruntime, OpenVINO and PyTorch it "
        f"is {linear['fp32']}, with fewer channels {control['fp32']} (fp32,": "README.md",
        f"takes {linear['fp32']} of the plain network's time, fewer channels {control['fp32']}": PROSE[3],
        f"takes {linear['fp32']} of the plain network's time**": "docs/deployment.md",
        f"The network with fewer channels takes {control['fp32']}.": "docs/deployment.md",
        f"in all four timings of fp32: {own} against {other}": "docs/deployment.md",
        f"It takes {linear['int8']}, the network with fewer channels {control['int8']}": "docs/deployment.md",
        f"slower than the plain network in int8, up to {int8.max():.1f} times": "docs/deployment.md",
    }


@pytest.mark.parametrize("sentences", [answers, sizes, latencies])
def test_numbers_in_prose_are_those_of_the_results(sentences):
    pages = {page: prose(page) for page in PROSE}
    missing = [f"{page}: {sentence}" for sentence, page in sentences().items() if sentence not in pages[page]]
    assert missing == []


# Words that claim equality of accuracies, and the comparisons that allow a sentence with them.
EQUALITY = re.compile(
    r"costs? (?:nothing|little|no accuracy)|(?:as|equally) accurate|same accuracy|no loss of accuracy|stays? where|"
    r"changes? (?:nothing|little)|\bequals\b|\bequal the\b|\bequivalent\b|on par|no worse|within one point",
    re.IGNORECASE,
)
NEGATED = re.compile(r"\b(?:not|no|never|undecided|nothing is|none|neither)\b", re.IGNORECASE)
SHOWN = {
    "Lr equals the plain network within 0.10 points": [("mnist-short", "Lr", "conv")],
    "Lr, LRr and low rank equal the narrower network within 0.10 points": [
        ("mnist-short", variant, "narrow") for variant in ("Lr", "LRr", "lowrank")
    ],
    "Lr is within one point of the narrower network": [("cifar10-short", "Lr", "narrow")],
    "L, Lr, Ghost, low rank and CP equal the narrower network within one point": [
        ("cifar10-ranking", variant, "narrow")
        for variant in ("L", "Lr", "ghost_half", "lowrank_svd_half", "lowrank_half", "cp_half")
    ],
    "HetConv equals the narrower network of its size within one point": [("cifar10-ranking", "hetconv_half", "narrow")],
    "Spatial filters equal LRr within one point": [("cifar10-ranking", "spatial", "LRr")],
    "They equal the narrower network of their own size within one point": [("cifar10-ranking", "spatial", "narrow")],
    "Low rank of the same size is within one point of the narrower network": [("cifar10-short", "lowrank", "narrow")],
}


def claimed_equal(text: str) -> list[str]:
    """The sentences that claim an equality and deny none."""
    sentences = re.split(r"(?<=[.:;])\s|\*\s", text)
    return [s for s in sentences if EQUALITY.search(s) and not NEGATED.search(s)]


@pytest.mark.parametrize("page", PROSE)
def test_prose_claims_no_equality_that_no_test_shows(page):
    found = claimed_equal(prose(page).replace("**", ""))
    assert [s for s in found if not any(start in s for start in SHOWN) and "by construction" not in s] == []


@pytest.mark.parametrize("cells", SHOWN.values(), ids=SHOWN)
def test_what_is_called_equal_is_equivalent(cells):
    for experiment, variant, reference in cells:
        ranked = REFERENCE / experiment / "tables" / "ranking_parameters.csv"  # each with the narrow of its own size
        if ranked.exists():
            outcome = pd.read_csv(ranked).set_index("variant").loc[variant, f"{reference}_outcome"]
        else:
            outcome = comparisons(experiment).loc[(variant, reference), "outcome"]
        assert outcome == "equivalent"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A start from the trained network costs nothing.", 1),
        ("Undecided does not mean equal: L is not as accurate.", 0),
        ("L and Lr are equivalent to the plain network.", 1),
    ],
)
def test_equality_is_recognized(text, count):
    assert len(claimed_equal(text)) == count


def test_the_rates_of_training_on_a_gpu_are_those_of_the_results():
    page = (REPOSITORY / "docs" / "engine.md").read_text(encoding="utf-8")
    folder = REFERENCE / "cifar10-short"
    counts = counted("digits")["macs_train_auto"]
    for network, name in (("resnet18", "ResNet-18"), ("vgg11", "VGG11")):
        timings = json.loads((folder / "throughput" / f"{network}_training_b50_fp32_cuda_graph.json").read_text())
        (plain,) = (arm for arm in timings["arms"] if arm["name"] == "plain")
        rate = timings["batch_size"] / statistics.median(plain["seconds_per_call"])
        tera = 2 * counts[network, "conv"] * rate / 1e12
        assert f"| {name}, one training | {round(rate, -1):,.0f} | {tera:.0f} |" in page
    runs = pd.read_csv(folder / "data" / "runs.csv")
    rates = runs[(runs["seed"] == 0)].set_index("variant")["images_per_second"]
    tera = 2 * counts["base", "conv"] * rates["conv"] / 1e12
    assert f"| {round(rates.sum(), -2):,.0f} | |" in page
    assert f"one of the six | {round(rates['conv'], -2):,.0f} | {tera:.1f} |" in page
    assert f"{32.3e3 / (7 * 60):.0f} TFLOP/s" in page
