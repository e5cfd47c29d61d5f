"""What is said of data that cannot be used."""

from __future__ import annotations

from linconv.config.errors import UserError


class DataError(UserError):
    """A data set that cannot be used; the message names it, what is missing or damaged, and the remedy."""
