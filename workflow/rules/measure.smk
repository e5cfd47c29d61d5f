rule complexity:
    output:
        complexity=f"{RESULTS}/complexity.json",
    log:
        f"{LOGS}/complexity.log",
    conda:
        ENVIRONMENT
    params:
        config=CONFIG,
        grid=settings.complexity.model_dump_json(),
        variants=[f"{name}={settings.known_variants[name].model_dump_json()}" for name in settings.variants],
        code_hash=COMPLEXITY_CODE,
    shell:
        "linconv measure complexity --config {params.config} --output {output.complexity} > {log} 2>&1"
