"""``jaxbatch verify``."""

import sys

import click

from jaxbatch.cli.options import debug_option, json_option
from jaxbatch.cli.output import print_json
from jaxbatch.verification import verify


@click.command("verify")
@click.argument("out", type=click.Path())
@json_option
@debug_option
def command(out: str, as_json: bool, debug: bool) -> None:
    """Re-read what is in OUT against its manifest. Exit code 1 on any difference."""
    del debug
    problems = verify(out)
    if as_json:
        print_json({"exit_code": int(bool(problems)), "output": out, "differences": problems})
    elif problems:
        click.echo("\n".join(problems), err=True)
    else:
        click.echo(f"{out}: every part is there and as the manifest says.")
    sys.exit(int(bool(problems)))
