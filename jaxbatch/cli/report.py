"""``jaxbatch report``."""

import click

from jaxbatch.cli.options import debug_option, filling_options, output_of
from jaxbatch.errors import OutputError


@click.command("report")
@click.argument("out", type=click.Path())
@click.option("-o", "--output", "file", default="report.html", show_default=True, metavar="FILE", help="The page.")
@filling_options
@debug_option
def command(out: str, file: str, variables: tuple[str, ...], overrides: tuple[str, ...], debug: bool) -> None:
    """One page with the numbers and pictures of a run, that needs nothing but itself.

    OUT is the output's folder or URL; or the TOML file of its job.
    """
    del debug
    from jaxbatch import report

    path, storage = output_of(out, variables, overrides)
    try:
        report.write(path, file, storage)
    except OSError as error:
        if error.filename != file:
            raise
        raise OutputError(f"{file} cannot be written ({error.strerror}).", "Choose another with -o.") from error
    click.echo(file)
