# The empty file is missing whenever the configuration is another one. So results are collected, and stale ones
# refused, even where Snakemake's own records are gone and all other files look up to date.
rule collect:
    input:
        trained_files,
        measured_files,
    output:
        expand(f"{RESULTS}/data/{{name}}.csv", name=COLUMNS),
        expand(f"{RESULTS}/data/{{name}}", name=["correlations.npz", "outcomes.npz", "manifest.json"]),
        touch(f"{RESULTS}/data/.config-{CONFIG_HASH}"),
    log:
        f"{LOGS}/collect.log",
    localrule: not needs_of(settings, "collect").queued
    conda:
        ENVIRONMENT
    threads: needs_of(settings, "collect").threads
    resources:
        **resources_of("collect"),
    params:
        config=CONFIG,
        root=lambda _: ROOT,
        logs=f"{FOLDER}/logs",
        code_hash=lambda _: code_hash("collect"),
    shell:
        "linconv collect {params.config:q} --results {params.root:q} > {log:q} 2>&1 "
        "&& find {params.logs:q} -name '*.log.kept' -delete"


# Without outputs it runs whenever it is asked for; without inputs it trains nothing.
rule partial:
    log:
        f"{LOGS}/partial.log",
    localrule: not needs_of(settings, "partial").queued
    conda:
        ENVIRONMENT
    threads: needs_of(settings, "partial").threads
    resources:
        **resources_of("partial"),
    params:
        config=CONFIG,
        root=lambda _: ROOT,
        results=FOLDER,
    shell:
        "(linconv collect {params.config:q} --results {params.root:q} --partial "
        "&& linconv render all {params.results:q} --workers {threads}) > {log:q} 2>&1"
