# Entry of the pipeline: `snakemake --cores all` from the root of the repository.
include: "workflow/Snakefile"


# An included file sets no default target, so without this rule a plain call would do nothing and succeed.
rule default:
    default_target: True
    input:
        rules.all.input,
