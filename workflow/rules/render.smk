# All that is made of the collected files, in one process: they are read once, and each figure is drawn once for its
# file and for the page. Which tables and figures there are is decided by what the files hold, so their folders are the
# outputs; index.json in each lists what was made and why the rest was not.
rule render:
    input:
        rules.collect.output,
    output:
        tables=report(
            directory(f"{RESULTS}/tables"),
            patterns=[f"{{what,{one_of(TABLES)}}}.{{format,md|csv|html}}"],
            caption="../report/table.rst",
            category="Tables",
            labels=labels_of("tables"),
        ),
        figures=report(
            directory(f"{RESULTS}/figures"),
            patterns=[f"{{what,{one_of(FIGURES)}}}{{where,(_.+)?}}.{inline_format()}"],
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{what}",
            labels=labels_of("figures"),
        ),
        claims=report(
            f"{RESULTS}/claims.md",
            caption="../report/claims.rst",
            category="Claims",
            labels={"experiment": settings.experiment},
        ),
        page=report(
            f"{RESULTS}/report.html",
            caption="../report/page.rst",
            category="Page",
            labels={"experiment": settings.experiment},
        ),
    log:
        f"{LOGS}/render.log",
    localrule: not needs_of(settings, "render").queued
    conda:
        ENVIRONMENT
    threads: needs_of(settings, "render").threads
    resources:
        **resources_of("render"),
    params:
        results=subpath(output.page, parent=True),
        table_captions=captions(TABLES),
        figure_captions=captions(FIGURES),
        code_hash=lambda _: code_hash("report"),
    shell:
        "linconv render all {params.results:q} --workers {threads} > {log:q} 2>&1"
