"""``jaxbatch verify``."""

import sys

import click

from jaxbatch.cli.options import debug_option, filling_options, json_option, output_of
from jaxbatch.cli.output import print_json
from jaxbatch.output.verification import verify


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
    out, storage = output_of(out, variables, overrides)
    problems = verify(out, storage)
    if as_json:
        print_json({"exit_code": int(bool(problems)), "output": out, "differences": problems})
    elif problems:
        click.echo("\n".join(problems), err=True)
        click.echo(
            "Run the job again to write what is missing; of parts that differ, after you have deleted them.", err=True
        )
    else:
        click.echo(f"{out}: every part is there and as the manifest says.")
    sys.exit(int(bool(problems)))
