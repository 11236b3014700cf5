"""``jaxbatch init``: write a small job to start from."""

from pathlib import Path

import click

from jaxbatch.cli.options import debug_option


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
@click.option("--kernel", default="derivatives", show_default=True, metavar="NAME", help="See jaxbatch kernels.")
@debug_option
def command(folder: str, kernel: str, debug: bool) -> None:
    """Write a small runnable job and its sample tasks to DIR."""
    del debug
    from jaxbatch.cli import job_templates

    for path in job_templates.write(kernel, Path(folder)):
        click.echo(f"wrote {path}")
    click.echo(f"\nNext: jaxbatch run {Path(folder) / 'job.toml'}")
