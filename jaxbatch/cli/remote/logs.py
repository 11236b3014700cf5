"""``jaxbatch logs``."""

import sys

import click

from jaxbatch.cli.options import cluster_options, debug_option
from jaxbatch.cli.output import stdout_kept_clean
from jaxbatch.cli.remote.submit import followed


@click.command("logs")
@click.argument("identity", metavar="ID")
@cluster_options()
@click.option(
    "--follow", is_flag=True, help="Go on to the job's end, as submit --wait does; the exit code is the job's."
)
@debug_option
def command(identity: str, address: str, allow_unauthenticated: bool, follow: bool, debug: bool) -> None:
    """What a submitted job has printed."""
    del debug
    from jaxbatch.cluster.submission.client import JobServer

    with stdout_kept_clean():
        server = JobServer(address, allow_unauthenticated=allow_unauthenticated)
    if follow:
        sys.exit(followed(server, identity, address, as_json=False, quiet=False))
    click.echo(server.log(identity), nl=False)
