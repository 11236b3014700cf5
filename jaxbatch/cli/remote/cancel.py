"""``jaxbatch cancel``: stop a submitted job."""

import click

from jaxbatch.cli.options import cluster_options, debug_option
from jaxbatch.cli.printing import stdout_to_stderr


@click.command("cancel")
@click.argument("identity", metavar="ID")
@cluster_options()
@debug_option
def command(identity: str, address: str, allow_unauthenticated: bool, debug: bool) -> None:
    """Stop a submitted job and wait until it has ended. Finished parts are kept, and submitting it again continues."""
    del debug
    from jaxbatch.cluster.submission.client import JobServer
    from jaxbatch.cluster.submission.following import wait

    with stdout_to_stderr():
        server = JobServer(address, allow_unauthenticated=allow_unauthenticated)
        if not server.state(identity).ended:
            server.stop(identity)
        ended = wait(server, identity)
    click.echo(ended.status)
