#!/usr/bin/env bash
# Snakemake runs this in the working directory, the root of the repository, with the new environment active.
set -euo pipefail
python -m pip install --require-hashes --requirement requirements.lock
python -m pip install --no-build-isolation --no-deps --editable .
