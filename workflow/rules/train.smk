# The checkpoint lies beside the outputs undeclared: it survives a failure, and the run resumes from it.
if not settings.workers:

    rule train:
        output:
            f"{RESULTS}/runs/{RUN}/result.json",
            f"{RESULTS}/runs/{RUN}/correlations.npz",
        log:
            f"{LOGS}/train/{RUN}.log",
        conda:
            ENVIRONMENT
        threads: lambda wildcards: needs_of(settings, "train", wildcards.dataset).threads
        resources:
            **resources_of("train"),
        params:
            config=CONFIG,
            root=lambda _: ROOT,
            draw=lambda wildcards: " ".join(key_of(wildcards).options),
            config_hash=run_hash,
            code_hash=run_code,
        shell:
            appended(
                "linconv train {params.config:q} --results {params.root:q} --dataset {wildcards.dataset} "
                "--architecture {wildcards.architecture} --variant {wildcards.variant} {params.draw}"
            )


# A worker trains one run after another, of those that nobody else trains, so a failed run fails no other one. It ends
# a little before its time, with its runs saved; then, as after a failure, its mark is missing and it is tried again.
else:

    rule work:
        output:
            touch(WORKER),
        log:
            f"{LOGS}/work/{{worker}}.log",
        conda:
            ENVIRONMENT
        threads: needs_of(settings, "work").threads
        resources:
            **resources_of("work"),
        params:
            config=CONFIG,
            root=lambda _: ROOT,
            runs=every_run,
            lost=lost_runs,
        shell:
            appended(
                "linconv work {params.config:q} --results {params.root:q} --renew "
                "--budget $(( {resources.runtime} * 57 ))s"
            )
