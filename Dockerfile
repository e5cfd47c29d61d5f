# The locked environment with the package and the pipeline, for engines whose nodes share none:
#   docker build --tag linconv .
#   docker run --rm --volume "$PWD:/work" linconv snakemake --snakefile /opt/linconv/Snakefile --cores all \
#     --configfile config.yaml
# With GPUs: docker run --gpus all. For Apptainer: apptainer build linconv.sif docker-daemon://linconv:latest
FROM python:3.12-slim

WORKDIR /opt/linconv
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock

COPY pyproject.toml README.md LICENSE Snakefile ./
COPY linconv linconv
COPY workflow workflow
COPY profiles profiles
COPY config config
RUN python -m pip install --no-cache-dir --no-build-isolation --no-deps .

# Results are written to the folder that is mounted here, as the user who started the container (--user).
ENV HOME=/tmp
WORKDIR /work
CMD ["linconv", "--help"]
