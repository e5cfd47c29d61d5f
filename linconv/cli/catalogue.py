"""What there is to name in a configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from linconv.catalogue.listing import LISTS, table
from linconv.cli.options import require_known
from linconv.config.methods import known_methods

app = typer.Typer()


@app.command("list")
def list_entries(
    kinds: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(LISTS)}; all of them by default")] = None,
) -> None:
    """List what a configuration can name, what results are made into, and the configurations that are shipped."""
    require_known(kinds or (), LISTS, "kind")
    typer.echo("\n\n".join(f"{kind}\n{table(kind, known_methods().values())}" for kind in kinds or LISTS))
