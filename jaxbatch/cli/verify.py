"""``jaxbatch verify``: check an output against its manifest."""

import sys

import click

from jaxbatch.cli.options import debug_option, json_option, override_options, resolve_output
from jaxbatch.cli.printing import print_json
from jaxbatch.output.verification import verify


@click.command("verify")
@click.argument("out", type=click.Path())
@override_options
@json_option
@debug_option
def command(out: str, variables: tuple[str, ...], overrides: tuple[str, ...], as_json: bool, debug: bool) -> None:
    """Read all of OUT again and check it against its manifest. Exits with 1 on any difference.

    OUT is the output's folder or URL, or the TOML file of its job, which may say in [storage] how to reach it.
    """
    del debug
    out, storage = resolve_output(out, variables, overrides)
    problems = verify(out, storage)
    if as_json:
        print_json({"exit_code": int(bool(problems)), "output": out, "differences": problems})
    elif problems:
        click.echo("\n".join(problems), err=True)
        click.echo("Delete parts that differ, then run the job again to write what is missing.", err=True)
    else:
        click.echo(f"{out}: every part is present and matches the manifest.")
    sys.exit(int(bool(problems)))
