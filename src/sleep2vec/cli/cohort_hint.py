"""A cohort's name that the catalog does not have: most often a typing error, and never a failure."""

import typer


def hint_at_cohort(cohort: str | None) -> None:
    """Say that labels will be read by the generic rules, and which cohort may have been meant."""
    from sleep2vec.cohorts.catalog import GENERIC, closest_cohorts, cohort_of

    if cohort is None or cohort == GENERIC or cohort_of(cohort).has_file:
        return
    near = " or ".join(closest_cohorts(cohort))
    typer.echo(
        f"the catalog has no cohort {cohort!r}{f' (did you mean {near}?)' if near else ''}; "
        "labels are read by the generic rules.",
        err=True,
    )
