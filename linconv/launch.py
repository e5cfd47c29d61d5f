"""How this process was started: alone, or by torchrun or its like as one of several that train one run."""

from __future__ import annotations

import os
from typing import NamedTuple

from linconv.config.errors import UserError

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Launch(NamedTuple):
    """The place of this process among all (`rank` of `processes`), and among those of its machine."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and the log."""
        return self.rank == 0


def launch() -> Launch:
    """What the environment says, in the variables of torchrun.

    Raises:
        UserError: a variable is missing or is no such number.
    """
    found = {name: os.environ[name] for name in NEEDED if name in os.environ}
    if "RANK" not in found or found.get("WORLD_SIZE", "1") == "1":
        return Launch()
    if missing := [name for name in NEEDED if name not in found]:
        raise UserError(f"started as one of several processes, but without {', '.join(missing)}; start it by torchrun")
    try:
        rank, processes, local, port = (
            int(found[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")
        )
    except ValueError:
        rank = processes = local = port = -1
    if not (0 <= local <= rank < processes and 0 <= port < 65_536):
        told = ", ".join(f"{name}={value}" for name, value in found.items())
        raise UserError(f"these are no places among several processes: {told}; start them by torchrun")
    return Launch(rank, processes, local)
