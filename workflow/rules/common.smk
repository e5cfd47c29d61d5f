# What the rules share: the checked configuration, the paths made of it and the hashes that decide on reruns.
# Parsed before any job starts, and again by every remote job: keep it free of torch and of work per run.
import os
import re
import sys
from itertools import product

import yaml
from snakemake.logging import logger

from linconv.config import ConfigError, parse_config, plan_cells, plan_runs, resolve_run
from linconv.config.runs import complexity_hash, digest
from linconv.config.throughput import plan_throughput
from linconv.devices import visible_gpus
from linconv.results import write_text
from linconv.results.provenance import code_hash
from linconv.results.throughput import throughput_hash

# Jobs find the commands of the environment that runs Snakemake, whether or not it is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))

# No job starts with a wrong configuration. Snakemake would print a stack beside the message of an exception;
# leaving with the message alone says what to mend and nothing else.
try:
    settings = parse_config(config, ", ".join(map(os.path.relpath, workflow.configfiles)) or "configuration")
except ConfigError as error:
    logger.error(str(error))
    sys.exit(1)

runs = plan_runs(settings)

# Defaults stay unwritten, so that the text reads like the file it came from.
CONFIG_YAML = yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True), sort_keys=False)

# The experiment's name is in every path: no two configurations share a file.
RESULTS = f"results/{settings.experiment}"
CONFIG = f"{RESULTS}/config.yaml"
LOGS = f"{RESULTS}/logs"
RUN = "{dataset}/{architecture}/{variant}/seed{seed}"

ENVIRONMENT = "../envs/linconv.yaml"

DRAWING = 4  # processes that draw figures side by side, as far as there are cores

# Snakemake sees neither an edited module nor the part of the configuration that a run depends on. These hashes
# are `params:`, so a job is done again when what determines its outcome has changed, and only then.
CONFIG_HASH = digest(CONFIG_YAML)
RUN_HASHES = {key: resolve_run(settings, key).hash for key in runs}
TRAINING_CODE = {name: code_hash("training", *v.layers) for name, v in settings.planned_variants.items()}
COMPLEXITY_CODE = code_hash(
    "complexity", *(layer for v in settings.planned_variants.values() for layer in v.layers)
)
REPORT_CODE = code_hash("report")
TIMED_VARIANTS = settings.throughput.variants if settings.throughput else ()
TIMED_CODE = code_hash(
    "throughput", *(layer for name in TIMED_VARIANTS for layer in settings.known_variants[name].layers)
)
TIMED = [key.name for key in plan_throughput(settings.throughput)] if settings.throughput else []
# the networks that are timed at several batches
BY_BATCH = settings.throughput and len(set(settings.throughput.batches)) > 1
NETWORKS_BY_BATCH = list(dict.fromkeys(settings.throughput.architectures)) if BY_BATCH else []
TIMED_HASH = throughput_hash(settings.throughput, settings.known_variants) if settings.throughput else None


def one_of(values):
    """A wildcard's pattern that admits the configured values alone."""
    return "|".join(re.escape(str(value)) for value in values)


wildcard_constraints:
    dataset=one_of(settings.datasets),
    architecture=one_of(settings.architectures),
    variant=one_of(settings.variants),
    seed=one_of(settings.seeds),
    cell=one_of(TIMED),


def of_every_run(name):
    """The file of that name in the folder of every run."""
    return [f"{RESULTS}/{key.path}/{name}" for key in runs]


def timed_cells():
    """The result file of every timing."""
    return [f"{RESULTS}/throughput/{name}.json" for name in TIMED]


def run_hash(wildcards):
    """The hash of all that a run's configuration says about its outcome."""
    return RUN_HASHES[wildcards.dataset, wildcards.architecture, wildcards.variant, int(wildcards.seed)]


def training_code(wildcards):
    """The hash of the code that decides the outcome of a run."""
    return TRAINING_CODE[wildcards.variant]


GPUS = [] if settings.device == "cpu" else visible_gpus()

# `gpu` counts places on GPUs. Without a limit on the command line there are as many as this machine has; jobs that
# go elsewhere (_nodes) are limited there.
if GPUS and "gpu" not in workflow.global_resources and workflow.global_resources["_nodes"].value is None:
    workflow.register_resource("gpu", len(GPUS) * settings.runs_per_gpu)


def places_per_run():
    """Places on a GPU that a run takes: 1 where it trains on one, else 0."""
    return int(settings.device == "cuda" or bool(GPUS))


def threads_of(wildcards):
    """The cores a run keeps busy: its threads and, where its images are sure to be streamed, those that decode them."""
    folder = settings.imagefolders.get(wildcards.dataset)
    streamed = folder.stream is True if folder else wildcards.dataset == "imagenet"
    return settings.threads + settings.loader_workers * streamed


# The names that the registries of linconv.report have, which imports too much for here; a test compares both.
TABLES = (
    *("table1", "table1_paper", "table1_comparison", "table2", "paper_columns"),
    *("complexity", "overhead", "speed", "redundancy", "filter_quality", "runs", "failures"),
    *(f"ranking_{cost}" for cost in settings.rankings),
)
FIGURES = {
    **dict.fromkeys(("panels", "correlations", "curves", "redundancy", "filters"), "network"),
    **dict.fromkeys(("pareto", "differences"), "dataset"),
    **dict.fromkeys(("speed", "memory"), "timings"),
    "throughput": "batches",
}


def reported_tables():
    """Every table in every format; Markdown, CSV and HTML go into the report."""
    for name, extension in product(TABLES, ("md", "tex", "csv", "html")):
        path = f"{RESULTS}/tables/{name}.{extension}"
        if extension != "tex":
            labels = {"table": name, "format": extension}
            path = report(path, caption=f"../report/{name}.rst", category="Tables", labels=labels)
        yield path


def reported_figures():
    """Every figure in every format; the first that a browser shows inline goes into the report."""
    formats = settings.figures.formats
    inline = next((f for f in formats if f != "pdf"), "pdf")
    networks = dict.fromkeys((dataset, architecture) for dataset, architecture, _ in plan_cells(settings))
    places = {
        "network": list(networks),
        "dataset": list(dict.fromkeys((d,) for d, _ in networks)),
        "experiment": [()],
        "timings": [()] if TIMED else [],
        "batches": [(network,) for network in NETWORKS_BY_BATCH],
    }
    for kind, per in FIGURES.items():
        for where, extension in product(places[per], formats):
            path = f"{RESULTS}/figures/{'_'.join((kind, *where))}.{extension}"
            if extension == inline:
                of = ("network",) if per == "batches" else ("data set", "network")
                labels = dict(zip(of, where)) or {"experiment": settings.experiment}
                path = report(
                    path,
                    caption=f"../report/{kind}.rst",
                    category="Figures",
                    subcategory=kind.title(),
                    labels=labels,
                )
            yield path
