# Which tables and figures there are is decided by what the collected files hold. So the folder is the output:
# `linconv render` writes index.json into it, which lists what was made and why the rest was not.
rule tables:
    input:
        rules.collect.output,
    output:
        report(
            directory(f"{RESULTS}/tables"),
            patterns=[f"{{what,{one_of(TABLES)}}}.{{format,md|csv|html}}"],
            caption="../report/output.rst",
            category="Tables",
            labels=labels_of,
        ),
    log:
        f"{LOGS}/tables.log",
    localrule: not needs_of(settings, "tables").queued
    conda:
        ENVIRONMENT
    threads: needs_of(settings, "tables").threads
    resources:
        **resources_of("tables"),
    params:
        results=subpath(input[0], ancestor=2),
        captions=captions(TABLES),
        code_hash=lambda _: code_hash("report"),
    shell:
        "linconv render tables {params.results} > {log} 2>&1"


rule figures:
    input:
        rules.collect.output,
    output:
        report(
            directory(f"{RESULTS}/figures"),
            patterns=[f"{{what,{one_of(FIGURES)}}}{{where,(_.+)?}}.{inline_format()}"],
            caption="../report/output.rst",
            category="Figures",
            subcategory="{what}",
            labels=labels_of,
        ),
    log:
        f"{LOGS}/figures.log",
    localrule: not needs_of(settings, "figures").queued
    conda:
        ENVIRONMENT
    threads: needs_of(settings, "figures").threads
    resources:
        **resources_of("figures"),
    params:
        results=subpath(input[0], ancestor=2),
        captions=captions(FIGURES),
        code_hash=lambda _: code_hash("report"),
    shell:
        "linconv render figures {params.results} --workers {threads} > {log} 2>&1"


rule claims:
    input:
        rules.collect.output,
    output:
        report(
            f"{RESULTS}/claims.md",
            caption="../report/claims.rst",
            category="Claims",
            labels={"experiment": settings.experiment},
        ),
    log:
        f"{LOGS}/claims.log",
    localrule: not needs_of(settings, "claims").queued
    conda:
        ENVIRONMENT
    threads: needs_of(settings, "claims").threads
    resources:
        **resources_of("claims"),
    params:
        results=subpath(input[0], ancestor=2),
        code_hash=lambda _: code_hash("report"),
    shell:
        "linconv render claims {params.results} > {log} 2>&1"


# Its name is not `report`, which is Snakemake's function that marks a file for its own report.
rule page:
    input:
        rules.collect.output,
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/page.rst",
            category="Page",
            labels={"experiment": settings.experiment},
        ),
    log:
        f"{LOGS}/page.log",
    localrule: not needs_of(settings, "page").queued
    conda:
        ENVIRONMENT
    threads: needs_of(settings, "page").threads
    resources:
        **resources_of("page"),
    params:
        results=subpath(output[0], parent=True),
        code_hash=lambda _: code_hash("report"),
    shell:
        "linconv report {params.results} --workers {threads} > {log} 2>&1"
