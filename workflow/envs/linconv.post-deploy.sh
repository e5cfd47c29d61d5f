#!/usr/bin/env bash
# Snakemake runs this in the working directory, wherever that is, with the new environment active. The pipeline names
# the locked packages and the source of the package that it runs with (workflow/rules/common.smk).
set -euo pipefail
python -m pip install --require-hashes --requirement "${LINCONV_LOCK:?is set by the pipeline}"
python -m pip install --no-build-isolation --no-deps "${LINCONV_INSTALL:?is set by the pipeline}"
