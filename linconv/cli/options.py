"""What the commands share: arguments and options, and how they are read."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from linconv.config import Config, ConfigError, Variant, load_config, parse_config
from linconv.config.errors import UserError, explain_os_error
from linconv.config.load import placed
from linconv.config.names import check_known
from linconv.config.reading import read_yaml
from linconv.config.variants import needs_check
from linconv.launch import launch
from linconv.results.commands import shown_command
from linconv.results.planned import LOG_BEGINS

ConfigFile = Annotated[Path, typer.Argument(help="configuration file (YAML)", show_default=False)]
ResultsOption = Annotated[Path, typer.Option(help="folder that holds the experiments' folders")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="processes that draw figures; by default the usable cores", show_default=False)
]


def read_config(path: Path) -> Config:
    """The configuration in a file, with the options of every method checked."""
    settings = load_config(path)
    check_method_options(settings.known_variants, path)
    return settings


def check_method_options(variants: Mapping[str, Variant], source: Path) -> None:
    """Hold the options of methods other than LinearConv to their classes, which imports torch.

    Raises:
        ConfigError: they do not fit; the message begins with the file, the line and the key.
    """
    if needs_check(variants):
        if "torch" not in sys.modules:
            typer.echo("importing torch", err=True)
        from linconv.layers import check_methods

        try:
            check_methods(variants)
        except UserError as error:
            raise ConfigError(placed(str(error), str(source), read_yaml(source).lines)) from None


def seconds(text: str) -> float:
    """A duration such as 90s, 20m, 1.5h, or 90 (seconds).

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise UserError(f"a duration such as 90s, 20m or 1h is expected, not {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def require_known(names: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Raise ConfigError for the first of `names` that is not in `known`, with the nearest valid one."""
    try:
        check_known(names, known, kind)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def one_model(
    architecture: str, variant: str, shape: str, classes: int, batch_size: int, blocks: Mapping[str, Any] | None = None
) -> Config:
    """A configuration that holds one network, so that its checks and messages serve here too.

    Args:
        blocks: further keys of the configuration.
    """
    try:
        sizes = [int(n) for n in shape.lower().split("x")]
    except ValueError:
        raise ConfigError(f"--input: channels x height x width expected, such as 3x32x32, not {shape!r}") from None
    grid = {"architectures": [architecture], "input_shape": sizes, "classes": classes, "batch_size": batch_size}
    raw = {"experiment": "one", "datasets": ["cifar10"], "architectures": [architecture], "variants": [variant]}
    return parse_config({**raw, "seeds": [0], "complexity": grid, **(blocks or {})}, "command line")


def command_line() -> str:
    """This call as it can be typed again, without the names of folders above the current one."""
    return shown_command(["linconv", *sys.argv[1:]])


class _LogFile(logging.FileHandler):
    """A log that says on standard error, once and in a line, that it cannot be written."""

    said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if not self.said and isinstance(error, OSError):
            error.filename = error.filename or self.baseFilename
            sys.stderr.write(f"log: {explain_os_error(error)}\n")
        if record.levelno >= logging.ERROR:
            sys.stderr.write(f"{record.getMessage()}\n")
        self.said = True

    def close(self) -> None:
        with suppress(OSError):  # what is lost has been said
            super().close()


def log_to(path: Path | None) -> None:
    """Send messages and warnings to the end of a file, or to standard error; a log begins with the command.

    Of several processes only the first does; the others say their errors on standard error.
    """
    started = launch()
    if started.processes > 1:  # what torch says of a process that has left is a page, and we say it in a line
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not started.is_first:
        logging.basicConfig(format=f"%(asctime)s process {started.rank}: %(message)s", datefmt="%H:%M:%S")
        logging.getLogger().setLevel(logging.ERROR)
        logging.captureWarnings(True)
        return
    handler: logging.Handler = logging.StreamHandler()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[handler])
    logging.getLogger("linconv").setLevel(logging.INFO)  # of other packages only warnings: torch writes while it ends
    logging.captureWarnings(True)
    if path is not None or not sys.stderr.isatty():
        logging.getLogger("linconv").info("%s%s", LOG_BEGINS, command_line())
