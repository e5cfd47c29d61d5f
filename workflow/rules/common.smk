# What the rules share: the checked configuration, the paths made of it and the hashes that decide on reruns.
# Parsed before any job starts, and again by every remote job: it imports no torch, and what takes work per run is
# computed where a job asks for it.
import functools
import json
import os
import re
import sys
from pathlib import Path

from snakemake.resources import Resources

from linconv.catalogue.figures import FIGURES
from linconv.catalogue.tables import TABLES
from linconv.cli.apart import checked_config
from linconv.cli.origin import requirement
from linconv.config import ConfigError, RunKey, plan_cells, plan_runs, resolve_run, run_hashes
from linconv.config.command_line import with_types
from linconv.config.jobs import needs_of
from linconv.config.parts import run_parts
from linconv.config.runs import digest
from linconv.config.writing import config_text
from linconv.devices import visible_gpus
from linconv.results import write_text
from linconv.results.code import code_hash
from linconv.results.kinds import COLUMNS, KINDS
from linconv.results.planned import JOB_BEGINS

# Jobs find the commands of the environment that runs Snakemake, whether or not it is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))

# A module gets its configuration from the workflow that uses it, whose files may hold more.
FILES = [] if workflow.modifier.skip_configfile else [os.path.relpath(file) for file in workflow.configfiles]

# No job starts with a wrong configuration.
try:
    settings = checked_config(
        with_types(config, workflow.config_settings.config_args or ()),
        FILES,
        Path(".snakemake/linconv") if workflow.is_main_process else None,
    )
except ConfigError as error:
    leave(error)

# Copies of the configuration name no folder of this machine: jobs find the data by their environment.
settings.export_data_root()

# The experiment's name is in every path: no two configurations share a file.
RESULTS = f"results/{settings.experiment}"
LOGS = f"{RESULTS}/logs"
RUN = "{dataset}/{architecture}/{variant}/{draw}"
WORKER = f"{RESULTS}/work/{{worker}}-of-{settings.workers}"

# Snakemake puts the prefix of a module before inputs, outputs and logs. The commands need the same folders.
CONFIG = str(workflow.modifier.modify_path(f"{RESULTS}/config.yaml"))
FOLDER = os.path.dirname(CONFIG)
ROOT = os.path.dirname(FOLDER)
if os.path.basename(FOLDER) != settings.experiment:
    leave(f"the module's replace_prefix makes {FOLDER} of {RESULTS}; keep the name of the experiment")

# The commands read the configuration from a file, with `--config` already laid over it. No job makes that file:
# Snakemake looks for no other reason to run a job below one that runs, and does not run it either where the file
# between them is ancient, so a changed recipe beside such a rule would train nothing. And `onstart` does not run in a
# module, nor where nothing is to be done. Defaults stay unwritten, so that the text reads like the file it came from.
if workflow.is_main_process and not workflow.output_settings.dryrun:
    text = config_text(settings)
    if not Path(CONFIG).exists() or Path(CONFIG).read_text(encoding="utf-8") != text:
        write_text(Path(CONFIG), text)

ENVIRONMENT = "../envs/linconv.yaml"

# Conda environments get the locked packages and the package that runs here, see envs/linconv.post-deploy.sh.
if workflow.is_main_process:
    os.environ.update(LINCONV_LOCK=os.path.abspath(workflow.source_path("../../requirements.lock")))
    os.environ.update(LINCONV_INSTALL=requirement())

# Snakemake sees neither an edited module nor the part of the configuration that a run depends on. Hashes are
# `params:`, so a job is done again when what determines its outcome has changed, and only then.
CONFIG_HASH = digest(settings.identity())
# what is measured beside the runs: the kinds that the configuration asks for
MEASURED = [kind for name, kind in KINDS.items() if name != "run" and kind.plan(settings)]


def appended(command):
    """The command, whose log goes on after those of earlier attempts.

    Snakemake removes the log before each attempt. A second name keeps it until results are collected, since a job may
    fail after its command has ended. What is killed, as it happens where memory runs out, says nothing: the log does.
    """
    return (
        "touch {log:q}.kept; ln -f {log:q}.kept {log:q} 2> /dev/null; "
        f'echo "{JOB_BEGINS}$(date -u +%FT%TZ)${{{{SLURM_JOB_ID:+ job $SLURM_JOB_ID}}}}" >> {{log:q}}; '
        f"{command} >> {{log:q}} 2>&1 || {{{{ code=$?; [ $code -le 128 ] || "
        'echo "error: ended by SIG$(kill -l $code); if memory ran out, ask for more than {resources.mem_mb} MB by the '
        'key needs" >> {log:q}; exit $code; }}'
    )


def one_of(values):
    """A wildcard's pattern that admits the configured values alone."""
    return "|".join(re.escape(str(value)) for value in values)


# Seed and split of a run by the name of its folder.
DRAWS = {RunKey("", "", "", *draw).draw: draw for draw in settings.draws}


def key_of(wildcards):
    """The run that a rule's wildcards name."""
    return RunKey(wildcards.dataset, wildcards.architecture, wildcards.variant, *DRAWS[wildcards.draw])


wildcard_constraints:
    dataset=one_of(settings.datasets),
    architecture=one_of(settings.architectures),
    variant=one_of(settings.variants),
    draw=one_of(DRAWS),
    worker=one_of(range(settings.workers)),


def of_every_run(name):
    """The file of that name in the folder of every run."""
    return [f"{RESULTS}/{key.path}/{name}" for key in plan_runs(settings)]


def trained_files(_):
    """What says that every run is trained: their files, or the marks of the workers that found no more to train."""
    if settings.workers:
        return expand(WORKER, worker=range(settings.workers))
    return of_every_run("result.json") + of_every_run("correlations.npz")


def measured_files(_):
    """The result file of every planned measurement."""
    return [f"{RESULTS}/{kind.path(key)}" for kind in MEASURED for key in kind.plan(settings)]


every_run_hash = functools.cache(lambda: run_hashes(settings))


def run_hash(wildcards):
    """The hash of all that a run's configuration says about its outcome."""
    key = key_of(wildcards)
    return every_run_hash()[key] if workflow.is_main_process else resolve_run(settings, key).hash


@functools.cache
def cell_code(dataset, architecture, variant):
    """The hash of the code that decides the outcome of the runs of a cell."""
    run = resolve_run(settings, RunKey(dataset, architecture, variant, *settings.draws[0]))
    return code_hash("run", run_parts(run))


def run_code(wildcards):
    """The hash of the code that decides the outcome of a run."""
    return cell_code(wildcards.dataset, wildcards.architecture, wildcards.variant)


def every_run(_):
    """A hash that changes with what any run is, or with the code of any: the workers then look for work again."""
    cells = [cell_code(*cell) for cell in plan_cells(settings)]
    return digest([*every_run_hash().values(), *cells])


def lost_runs(_):
    """Runs without a result although all workers have ended, so that they look for work again."""
    if len(list(Path(FOLDER, "work").glob(f"*-of-{settings.workers}"))) < settings.workers:
        return []
    return [str(key) for key in plan_runs(settings) if not Path(FOLDER, key.path, "result.json").exists()]


@functools.cache
def planned(name):
    """The planned results of a kind by their names."""
    return {str(key): key for key in KINDS[name].plan(settings)}


# Several processes use one machine: whoever must be alone takes all its shares. Elsewhere a scheduler gives machines.
SHARES = 10_000
ELSEWHERE = workflow.global_resources["_nodes"].value is not None


def resources_of(rule):
    """What the jobs ask for. On the command line `--set-resources` replaces what it names, and nothing else."""
    needs = needs_of(settings, rule)
    asked = {"mem_mb": needs.mem_mb, "runtime": needs.runtime, "gpu": needs.gpu, "machine": 1}
    if needs.alone:
        asked |= {"machine": SHARES, "slurm_extra": exclusive}
    return asked


def exclusive(wildcards, **job):
    """`--exclusive` after what `--default-resources`, which may hold expressions, says to sbatch for this job."""
    given = Resources.from_mapping(workflow.resource_settings.default_resources or {})
    words = given["slurm_extra"].evaluate(wildcards, **job).value if "slurm_extra" in given else None
    return f"{words or ''} --exclusive".strip()


# `gpu` counts places on GPUs. Without a limit on the command line there are as many as this machine has.
if workflow.is_main_process and not ELSEWHERE:
    workflow.register_resource("machine", SHARES)
    GPUS = [] if settings.device == "cpu" else visible_gpus()
    if GPUS and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", len(GPUS) * settings.runs_per_gpu)
if workflow.is_main_process and ELSEWHERE and settings.runs_per_gpu > 1 and not settings.workers:
    logger.warning(
        f"runs_per_gpu: {settings.runs_per_gpu} has no effect on a cluster, where each run is a job with a GPU of its "
        "own; `workers: N` trains so many runs side by side in each of N jobs"
    )


def inline_format():
    """The first format of the figures that a browser shows inside a page."""
    formats = settings.figures.formats
    return next((f for f in formats if f != "pdf"), "pdf")


def captions(outputs):
    """The captions of tables or figures by name, for workflow/report/table.rst and figure.rst."""
    return {entry.name: entry.caption for entry in outputs.values()}


def labels_of(folder):
    """What Snakemake's report says of a table or a figure beside its caption, from the index of its folder."""

    def labels(wildcards, output):
        with open(f"{output[folder]}/index.json", encoding="utf-8") as file:
            made = json.load(file)["made"]
        entry = next(e for e in made if e["name"] == wildcards.what + wildcards.get("where", ""))
        format = {"format": wildcards.format} if "format" in wildcards.keys() else {}
        return {"title": entry["title"], **entry["made for"], **format}

    return labels
