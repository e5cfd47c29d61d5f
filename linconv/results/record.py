"""What every record of a result file shares: its base, the bounds of its values, and the error of a bad file."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from linconv.config.errors import UserError, explain_unreadable

SCHEMA_VERSION: Literal[2] = 2
RETRAIN = "delete the run's folder and train it again"  # the remedy for a bad file of a run

Percent = Annotated[float, Field(ge=0, le=100)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ResultError(UserError):
    """A result file that cannot be used; the message names the file, the field and the remedy."""


class UnreadableError(ResultError):
    """A file that is there and that the system does not give; it may be good, so it is not made again."""


def unreadable(path: Path, error: OSError, remedy: str = "make it again") -> ResultError:
    """The error of a file that cannot be read; one that is not there, or is a folder, has to be made again."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
        return ResultError(f"{path}: cannot be read ({error.strerror}); {remedy}")
    return UnreadableError(f"{path}: {explain_unreadable(error)}")


class Record(BaseModel):
    """Part of a result file: frozen, without unknown fields, every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")
