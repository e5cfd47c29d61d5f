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
