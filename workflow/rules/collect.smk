# The empty file is missing whenever the configuration is another one. So results are collected, and stale ones
# refused, even where Snakemake's own records are gone and all other files look up to date.
rule collect:
    input:
        of_every_run("result.json"),
        of_every_run("correlations.npz"),
        measured_files(),
    output:
        expand(f"{RESULTS}/data/{{name}}.csv", name=COLUMNS),
        expand(f"{RESULTS}/data/{{name}}", name=["correlations.npz", "outcomes.npz", "manifest.json"]),
        touch(f"{RESULTS}/data/.config-{CONFIG_HASH}"),
    log:
        f"{LOGS}/collect.log",
    conda:
        ENVIRONMENT
    params:
        config=CONFIG,
        code_hash=COLLECT_CODE,
    shell:
        "linconv collect {params.config} > {log} 2>&1"


# Without outputs it runs whenever it is asked for; without inputs it trains nothing.
rule partial:
    log:
        f"{LOGS}/partial.log",
    conda:
        ENVIRONMENT
    threads: DRAWING
    params:
        config=CONFIG,
        results=RESULTS,
    shell:
        "(linconv collect {params.config} --partial && linconv render all {params.results} --workers {threads}) > {log} 2>&1"
