"""The command line: a skin over the library, and the only place that knows click and rich.

A file per command, those that reach a cluster in ``remote/``. Nothing here imports JAX or Ray before a command needs
it. Begin with ``run.py``.
"""

import importlib
import os
import sys
from typing import NoReturn

import click

import jaxbatch
from jaxbatch.cli import garbage, signals
from jaxbatch.compilation import linear_algebra
from jaxbatch.errors import Interrupted, JaxbatchError

_COMMANDS = {
    "init": "A small runnable job and its sample tasks.",
    "plan": "Check everything, run nothing: rows, shards, parts, programs.",
    "run": "Run a job, or finish one that was interrupted.",
    "submit": "The same run as a job of a Ray cluster.",
    "status": "What has become of a submitted job.",
    "logs": "What a submitted job has printed.",
    "cancel": "Stop a submitted job; its output can be finished later.",
    "verify": "Re-read an output against its manifest.",
    "report": "One page with the numbers and pictures of a run.",
    "kernels": "The kernels; or one kernel's parameters and columns.",
}

_REMOTE = ("submit", "status", "logs", "cancel")
"""The commands that reach a cluster."""


class _Commands(click.Group):
    """Commands that live in a module each and are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        folder = "cli.remote" if cmd_name in _REMOTE else "cli"
        return importlib.import_module(f"jaxbatch.{folder}.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(jaxbatch.__version__, prog_name="jaxbatch")
def group() -> None:
    """Batch jobs for JAX: Parquet tasks in, vmapped kernels on workers, Parquet results out."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, and turn every error into one to three lines and its exit code."""
    end = _end_at_once if arguments is None else sys.exit
    if arguments is None:  # NumPy has a library of the same kind, which is yet to be loaded
        linear_algebra.pin()
    arguments = sys.argv[1:] if arguments is None else arguments
    signals.listen()
    try:
        end(group.main(arguments, prog_name="jaxbatch", standalone_mode=False) or 0)
    except SystemExit as error:
        end(error.code)
    except click.exceptions.Exit as error:
        end(error.exit_code)
    except click.ClickException as error:
        error.show()
        end(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        end(_told(Interrupted(), arguments))
    except JaxbatchError as error:
        end(_told(error, arguments))
    except Exception as error:
        if (signalled := signals.interrupted()) is not None:  # of which a C library has made an error of its own
            end(_told(signalled, arguments))
        if "--debug" in arguments:
            raise
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        error = JaxbatchError(f"Unexpected: {text}", "Run again with --debug for the traceback.")
        end(_told(error, arguments))
    finally:
        garbage.resume()


def _told(error: JaxbatchError, arguments: list[str]) -> int:
    """Tell an error; its exit code."""
    if "--debug" in arguments:
        import traceback

        traceback.print_exc()
    click.echo(f"Error: {error}", err=True)
    if "--json" in arguments:
        from jaxbatch.cli.output import print_json

        print_json({"exit_code": int(error.exit_code), "error": error.what, "remedy": error.remedy})
    return int(error.exit_code)


def _end_at_once(code: "int | str | None") -> NoReturn:
    """End the process; where JAX was at work, without waiting for threads, its own, ours or the user's.

    They may be in a kernel, a compiler or a disk still, and would hold up the end; and a C++ thread that outlives the
    interpreter takes the process down, with another exit code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if "jax" in sys.modules and not isinstance(code, str):
        os._exit(code or 0)
    sys.exit(code)
