rule complexity:
    output:
        complexity=f"{RESULTS}/complexity.json",
    log:
        f"{LOGS}/complexity.log",
    conda:
        ENVIRONMENT
    params:
        config=CONFIG,
        grid_hash=complexity_hash(settings.complexity, settings.planned_variants),
        code_hash=COMPLEXITY_CODE,
    shell:
        "linconv measure complexity --config {params.config} --output {output.complexity} > {log} 2>&1"


# Alone on the machine: a timing takes all cores, and the GPU.
rule throughput:
    output:
        f"{RESULTS}/throughput/{{cell}}.json",
    log:
        f"{LOGS}/throughput/{{cell}}.log",
    conda:
        ENVIRONMENT
    threads: workflow.cores
    resources:
        gpu=places_per_run(),
    params:
        config=CONFIG,
        grid_hash=TIMED_HASH,
        code_hash=timing_code,
    shell:
        "linconv measure throughput --config {params.config} --cell {wildcards.cell} > {log} 2>&1"
