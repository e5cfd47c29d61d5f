rule tables:
    input:
        rules.collect.output,
    output:
        *reported_tables(),
    log:
        f"{LOGS}/tables.log",
    conda:
        ENVIRONMENT
    params:
        results=subpath(input[0], ancestor=2),
        code_hash=REPORT_CODE,
    shell:
        "linconv render tables {params.results} > {log} 2>&1"


rule figures:
    input:
        rules.collect.output,
    output:
        *reported_figures(),
    log:
        f"{LOGS}/figures.log",
    conda:
        ENVIRONMENT
    params:
        results=subpath(input[0], ancestor=2),
        code_hash=REPORT_CODE,
    shell:
        "linconv render figures {params.results} > {log} 2>&1"
