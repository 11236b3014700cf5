"""``jaxbatch status``: show the state of a submitted job."""

import sys

import click

from jaxbatch.cli.options import cluster_options, debug_option, json_option
from jaxbatch.cli.printing import print_json, stdout_to_stderr


@click.command("status")
@click.argument("identity", metavar="ID")
@cluster_options()
@json_option
@debug_option
def command(identity: str, address: str, allow_unauthenticated: bool, as_json: bool, debug: bool) -> None:
    """Show the state of a submitted job. Exits with the job's code, 0 while it runs."""
    del debug
    from jaxbatch.cluster.submission.client import JobServer
    from jaxbatch.cluster.submission.following import exit_code

    with stdout_to_stderr():
        state = JobServer(address, allow_unauthenticated=allow_unauthenticated).state(identity)
    code = int(exit_code(state))
    if as_json:
        print_json({"id": state.id, "status": state.status, "message": state.message, "exit_code": code})
    else:
        click.echo(state.status)
    if code:
        click.echo(f"Error: {state.id} {state.status.lower()}: {state.message.strip().splitlines()[0]}", err=True)
    sys.exit(code)
