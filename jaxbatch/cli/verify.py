"""``jaxbatch verify``."""

import sys

import click

from jaxbatch.cli.options import debug_option, filling_options, json_option, load_job
from jaxbatch.cli.output import print_json
from jaxbatch.errors import UsageError
from jaxbatch.verification import verify


@click.command("verify")
@click.argument("out", type=click.Path())
@filling_options
@json_option
@debug_option
def command(out: str, variables: tuple[str, ...], overrides: tuple[str, ...], as_json: bool, debug: bool) -> None:
    """Re-read what is in OUT against its manifest. Exit code 1 on any difference.

    OUT is the output's folder or URL; or the TOML file of its job, which may say in [storage] how to reach it.
    """
    del debug
    storage = None
    if out.endswith(".toml"):
        job = load_job(out, variables, overrides)
        out, storage = job.resolve(job.output.path), job.storage
    elif variables or overrides:
        raise UsageError("--var and --set fill in a job's file.", "Give that instead of its output.")
    problems = verify(out, storage)
    if as_json:
        print_json({"exit_code": int(bool(problems)), "output": out, "differences": problems})
    elif problems:
        click.echo("\n".join(problems), err=True)
    else:
        click.echo(f"{out}: every part is there and as the manifest says.")
    sys.exit(int(bool(problems)))
