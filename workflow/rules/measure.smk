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
            key=one_of(planned(kind.name)),
        # begins anew each time, so what fails twice fails for good, however often a training may be tried
        retries: min(1, getattr(workflow.execution_settings, "retries", 0))
        conda:
            ENVIRONMENT
        threads: needs_of(settings, kind.name).threads
        resources:
            **resources_of(kind.name),
        params:
            kind=kind.name,
            config=CONFIG,
            root=lambda _: ROOT,
            grid_hash=lambda wildcards, kind=kind: kind.hash(settings, planned(kind.name)[wildcards.key]),
            code_hash=lambda wildcards, kind=kind: kind.code_hash(settings, planned(kind.name)[wildcards.key]),
        shell:
            appended(
                "linconv measure {params.kind} --config {params.config:q} --results {params.root:q} --only {wildcards.key}"
            )
