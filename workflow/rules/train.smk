# The checkpoint lies beside the outputs undeclared: it survives a failure, and the run resumes from it.
rule train:
    output:
        f"{RESULTS}/runs/{RUN}/result.json",
        f"{RESULTS}/runs/{RUN}/correlations.npz",
    log:
        f"{LOGS}/train/{RUN}.log",
    conda:
        ENVIRONMENT
    threads: threads_of
    resources:
        gpu=places_per_run(),
    params:
        config=CONFIG,
        config_hash=run_hash,
        code_hash=run_code,
    shell:
        "linconv train {params.config} --dataset {wildcards.dataset} --architecture {wildcards.architecture} "
        "--variant {wildcards.variant} --seed {wildcards.seed} > {log} 2>&1"
