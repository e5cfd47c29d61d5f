"""Options that go together: what would be ignored is refused."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

from linconv.config.errors import UserError


class Together(TyperCommand):
    """A command that refuses an option which would change nothing.

    The help of an option says when the option counts: it begins with "with --config" or "without --config", where
    `--config` is any other option of the command.

    Raises:
        UserError: an option is given that does not count beside the others.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest: list[str] = super().parse_args(ctx, args)
        given = [p for p in self.params if getattr(ctx.get_parameter_source(p.name), "name", "") == "COMMANDLINE"]
        names = {name for option in given for name in option.opts}
        for option in given:
            rule = re.match(r"(with|without) (--[\w-]+)", getattr(option, "help", None) or "")
            if rule and (rule[2] in names) != (rule[1] == "with"):
                raise UserError(f"{option.opts[0]}: counts only {rule[0]}; leave it out, or see --help")
        return rest
