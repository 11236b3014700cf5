"""``jaxbatch plan``: show what a run would do."""

from typing import Any

import click

from jaxbatch.cli import garbage_collection
from jaxbatch.cli.import_ahead import import_ahead
from jaxbatch.cli.options import debug_option, job_options, json_option, limit_option, load_job, paths_from_option
from jaxbatch.cli.printing import counted, print_json, stdout_to_stderr, table
from jaxbatch.errors import readable_bytes


@click.command("plan")
@job_options
@limit_option
@paths_from_option
@json_option
@debug_option
def command(
    job: str,
    variables: tuple[str, ...],
    overrides: tuple[str, ...],
    limit: int | None,
    paths_from: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Check everything about a job without running it."""
    del debug
    garbage_collection.pause()
    import_ahead(job)
    loaded = load_job(job, variables, overrides, paths_from)
    from jaxbatch import api

    with stdout_to_stderr():
        described = api.preview(loaded, limit=limit)
    if as_json:
        print_json(described)
    else:
        click.echo(_readable(described))


def _mode(plan: dict[str, Any]) -> str:
    if plan["job"]["output"]["mode"] == "replace":
        return (
            "replace: the existing output is removed first"
            if "replaces" in plan
            else "replace: this run already exists"
        )
    if plan["run"] is None:
        return "append: all files are already computed"
    if plan["finishes"]:
        return f"append: unfinished run {plan['run']} is completed first, then new files are added"
    return f"append: run {plan['run']} adds the new files"


def _input(plan: dict[str, Any]) -> str:
    said = f"{counted(plan['rows'], 'row')} in {counted(plan['files'], 'file')}"
    if not plan["rows_are_chosen"]:
        return said
    return f"at most {said}, {plan['row_groups_read']:,} of {counted(plan['row_groups'], 'row group')}"


def _sample(job: dict[str, Any]) -> str:
    named_by = " and ".join(job["input"]["key_by"] or ["file and place"])
    return f"each row with probability {job['input']['sample']:g}, by seed {job['compute']['seed'] or 0} and {named_by}"


def _readable(plan: dict[str, Any]) -> str:
    rows = [
        ("kernel", plan["job"]["kernel"]),
        ("input", _input(plan)),
        *([("sample", _sample(plan["job"]))] if plan["job"]["input"]["sample"] is not None else []),
        *([("left out", f"{counted(len(plan['skipped_files']), 'file')}, see below")] if plan["skipped_files"] else []),
        *([("where", plan["job"]["input"]["where"])] if plan["job"]["input"]["where"] else []),
        ("output", plan["output"]),
        *([("mode", _mode(plan))] if plan["job"]["output"]["mode"] != "create" else []),
        ("shards", f"{plan['shards']:,}"),
        ("parts", f"{plan['parts']:,}, of which {plan['parts_skipped']:,} already exist"),
        ("rows to do" if not plan["rows_are_chosen"] else "rows to read", f"{plan['rows'] - plan['rows_skipped']:,}"),
        ("device", plan["identity"]["device"]),
        ("compilations", plan["compilations"]),
        ("fingerprint", plan["fingerprint"]),
    ]
    for name, rungs in plan["rungs"].items():
        sizes = ", ".join(map(str, rungs["first"]))
        rows.append(
            (
                f"rungs of {name}",
                f"{sizes} …: at most {rungs['padding_at_most']:.0%} padding from {rungs['first'][0]} on",
            )
        )
    programs = [
        (
            each["rows_of"],
            f"{each['batch_rows']:,} rows per batch, {readable_bytes(each['batch_bytes'])}"
            + (f"; weights, {readable_bytes(each['weight_bytes'])}" if "weight_bytes" in each else ""),
        )
        for each in plan["programs"]
    ]
    arguments, columns = list(plan["arguments"].items()), list(plan["columns"].items())
    skipped = [(each["path"], each["reason"]) for each in plan["skipped_files"]]
    sections = {"arguments": arguments, "programs": programs, "columns written": columns}
    text = "\n\n".join([table(rows, indent=""), *(f"{title}\n{table(its)}" for title, its in sections.items() if its)])
    return text + (f"\n\nfiles left out\n{table(skipped)}" if skipped else "")
