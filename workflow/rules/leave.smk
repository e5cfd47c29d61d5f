import sys

from snakemake.logging import logger


def leave(message):
    """End with one message; Snakemake would print a stack beside that of an exception."""
    logger.error(str(message))
    sys.exit(1)
