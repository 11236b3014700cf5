"""``jaxbatch logs``: show the log of a submitted job."""

import sys

import click

from jaxbatch.cli.options import cluster_options, debug_option
from jaxbatch.cli.printing import stdout_to_stderr
from jaxbatch.cli.remote.submit import follow_to_end


@click.command("logs")
@click.argument("identity", metavar="ID")
@cluster_options()
@click.option("--follow", is_flag=True, help="Print until the job ends, as submit --wait does, and exit with its code.")
@debug_option
def command(identity: str, address: str, allow_unauthenticated: bool, follow: bool, debug: bool) -> None:
    """Show what a submitted job has printed."""
    del debug
    from jaxbatch.cluster.submission.client import JobServer

    with stdout_to_stderr():
        server = JobServer(address, allow_unauthenticated=allow_unauthenticated)
    if follow:
        sys.exit(follow_to_end(server, identity, address, as_json=False, quiet=False))
    click.echo(server.log(identity), nl=False)
