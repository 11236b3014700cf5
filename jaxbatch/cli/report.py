"""``jaxbatch report``: write a page about a run."""

import click

from jaxbatch.cli.options import debug_option, override_options, resolve_output
from jaxbatch.errors import OutputError


@click.command("report")
@click.argument("out", type=click.Path())
@click.option(
    "-o", "--output", "file", default="report.html", show_default=True, metavar="FILE", help="HTML file to write."
)
@override_options
@debug_option
def command(out: str, file: str, variables: tuple[str, ...], overrides: tuple[str, ...], debug: bool) -> None:
    """Write one self-contained HTML page with the numbers and pictures of a run.

    OUT is the output's folder or URL, or the TOML file of its job.
    """
    del debug
    from jaxbatch import report

    path, storage = resolve_output(out, variables, overrides)
    try:
        report.write(path, file, storage)
    except OSError as error:
        if error.filename != file:
            raise
        raise OutputError(f"{file} cannot be written ({error.strerror}).", "Choose another file with -o.") from error
    click.echo(file)
