# A rule per kind of measurement that the configuration asks for, made of the catalogue.
for kind in MEASURED:

    rule:
        name:
            kind.name
        output:
            f"{RESULTS}/{kind.path('{key}')}",
        log:
            f"{LOGS}/{kind.path('{key}').with_suffix('.log')}",
        wildcard_constraints:
            key=one_of(HASHES[kind.name]),
        conda:
            ENVIRONMENT
        # a timing takes all cores, and the GPU: nothing else runs on the machine meanwhile
        threads: workflow.cores if MEASUREMENTS[kind.name].alone else 1
        resources:
            gpu=places_per_run() * MEASUREMENTS[kind.name].on_device,
        params:
            kind=kind.name,
            config=CONFIG,
            grid_hash=lambda wildcards, kind=kind: HASHES[kind.name][wildcards.key],
            code_hash=lambda wildcards, kind=kind: CODES[kind.name][wildcards.key],
        shell:
            "linconv measure {params.kind} --config {params.config} --only {wildcards.key} > {log} 2>&1"
