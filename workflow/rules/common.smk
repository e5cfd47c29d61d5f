# What the rules share: the checked configuration, the paths made of it and the hashes that decide on reruns.
# Parsed before any job starts, and again by every remote job: keep it free of torch and of work per run.
import json
import os
import re
import sys
from pathlib import Path


from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.figures import FIGURES
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.catalogue.tables import TABLES
from linconv.cli.apart import check_options_apart
from linconv.config import ConfigError, merged_config, resolve_runs
from linconv.config.load import placed
from linconv.config.parts import run_parts
from linconv.config.runs import digest
from linconv.config.writing import config_text
from linconv.devices import visible_gpus
from linconv.results import write_text
from linconv.results.code import code_hash
from linconv.results.kinds import COLUMNS, KINDS

# Jobs find the commands of the environment that runs Snakemake, whether or not it is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))

# A module gets its configuration from the workflow that uses it, whose files may hold more.
FILES = [] if workflow.modifier.skip_configfile else [os.path.relpath(file) for file in workflow.configfiles]

# No job starts with a wrong configuration.
try:
    settings = merged_config(config, FILES)
except ConfigError as error:
    leave(error)
if workflow.is_main_process:
    if problem := check_options_apart(settings, Path(".snakemake/linconv")):
        leave(
            placed(
                problem,
                ", ".join(FILES) or "configuration",
                read_yaml(FILES[0]).lines if len(FILES) == 1 else {},
            )
        )

runs = resolve_runs(settings)

# Defaults stay unwritten, so that the text reads like the file it came from. The text names no folder of this machine:
# jobs find the data by their environment.
CONFIG_YAML = config_text(settings)
if settings.data_root:
    os.environ["LINCONV_DATA"] = settings.data_root

# The experiment's name is in every path: no two configurations share a file.
RESULTS = f"results/{settings.experiment}"
CONFIG = f"{RESULTS}/config.yaml"
LOGS = f"{RESULTS}/logs"
RUN = "{dataset}/{architecture}/{variant}/seed{seed}"

ENVIRONMENT = "../envs/linconv.yaml"

DRAWING = 4  # processes that draw figures side by side, as far as there are cores

# Snakemake sees neither an edited module nor the part of the configuration that a run depends on. These hashes
# are `params:`, so a job is done again when what determines its outcome has changed, and only then.
CONFIG_HASH = digest(settings.identity())
HASHES = {
    name: {str(key): value for key, value in kind.hashes(settings).items()} for name, kind in KINDS.items()
}
CODES = {
    name: {str(key): kind.code_hash(settings, key) for key in kind.plan(settings)}
    for name, kind in KINDS.items()
    if name != "run"
}
RUN_CODE = {
    key[:3]: code_hash("run", run_parts(run)) for key, run in runs.items() if key.seed == settings.seeds[0]
}
COLLECT_CODE = code_hash("collect")
REPORT_CODE = code_hash("report")
# what is measured beside the runs: the kinds that the configuration asks for
MEASURED = [kind for name, kind in KINDS.items() if CODES.get(name)]


def one_of(values):
    """A wildcard's pattern that admits the configured values alone."""
    return "|".join(re.escape(str(value)) for value in values)


wildcard_constraints:
    dataset=one_of(settings.datasets),
    architecture=one_of(settings.architectures),
    variant=one_of(settings.variants),
    seed=one_of(settings.seeds),


def of_every_run(name):
    """The file of that name in the folder of every run."""
    return [f"{RESULTS}/{key.path}/{name}" for key in runs]


def measured_files():
    """The result file of every planned measurement."""
    return [f"{RESULTS}/{kind.path(key)}" for kind in MEASURED for key in kind.plan(settings)]


def run_hash(wildcards):
    """The hash of all that a run's configuration says about its outcome."""
    return HASHES["run"]["{dataset}/{architecture}/{variant}/seed{seed}".format(**wildcards)]


def run_code(wildcards):
    """The hash of the code that decides the outcome of a run."""
    return RUN_CODE[wildcards.dataset, wildcards.architecture, wildcards.variant]


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
    streamed = folder.stream is True if folder else DATASETS[wildcards.dataset].streamed
    return settings.threads + settings.loader_workers * streamed


def inline_format():
    """The first format of the figures that a browser shows inside a page."""
    formats = settings.figures.formats
    return next((f for f in formats if f != "pdf"), "pdf")


def captions(outputs):
    """The captions of tables or figures by name, for workflow/report/output.rst."""
    return {entry.name: entry.caption for entry in outputs.values()}


def labels_of(wildcards, output):
    """What Snakemake's report says of a table or a figure beside its caption, from the index of its folder."""
    with open(f"{output[0]}/index.json", encoding="utf-8") as file:
        made = json.load(file)["made"]
    entry = next(e for e in made if e["name"] == wildcards.what + wildcards.get("where", ""))
    format = {"format": wildcards.format} if "format" in wildcards.keys() else {}
    return {"title": entry["title"], **entry["made for"], **format}
