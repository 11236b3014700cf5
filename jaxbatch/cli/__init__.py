"""The command line: a thin layer over the library, and the only wing that uses click and rich.

Each command is a file, those that reach a cluster in ``remote/``. Nothing here imports JAX or Ray before a command
needs it. Begin with ``run.py``.
"""

import importlib
import os
import sys
from typing import NoReturn

import click

import jaxbatch
from jaxbatch.cli import garbage_collection, signals
from jaxbatch.compilation import linear_algebra
from jaxbatch.errors import Interrupted, JaxbatchError

_COMMANDS = {
    "init": "Write a small runnable job and its sample tasks.",
    "plan": "Check a job without running it: rows, shards, parts, programs.",
    "run": "Run a job, or finish one that was interrupted.",
    "submit": "Run a job on a Ray cluster.",
    "status": "Show the state of a submitted job.",
    "logs": "Show the log of a submitted job.",
    "cancel": "Stop a submitted job; its output can be finished later.",
    "verify": "Check an output against its manifest.",
    "report": "Write an HTML page with the numbers and pictures of a run.",
    "kernels": "List the kernels, or show one kernel's parameters and columns.",
}

_REMOTE = ("submit", "status", "logs", "cancel")
"""The commands that reach a cluster."""


class _Commands(click.Group):
    """Commands that are imported when they are called, each from its own module."""

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
    """Run the command line. Every error becomes one to three lines on stderr and an exit code."""
    end = _exit_now if arguments is None else sys.exit
    if arguments is None:  # NumPy loads a linear algebra library of its own later
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
        end(_print_error(Interrupted(), arguments))
    except JaxbatchError as error:
        end(_print_error(error, arguments))
    except Exception as error:
        if (signalled := signals.interrupted()) is not None:  # a C library turned it into another error
            end(_print_error(signalled, arguments))
        if "--debug" in arguments:
            raise
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        error = JaxbatchError(f"Unexpected error: {text}", "Run again with --debug for the traceback.")
        end(_print_error(error, arguments))
    finally:
        garbage_collection.resume()


def _print_error(error: JaxbatchError, arguments: list[str]) -> int:
    """Print an error, and return its exit code."""
    if "--debug" in arguments:
        import traceback

        traceback.print_exc()
    click.echo(f"Error: {error}", err=True)
    if "--json" in arguments:
        from jaxbatch.cli.printing import print_json

        print_json({"exit_code": int(error.exit_code), "error": error.what, "remedy": error.remedy})
    return int(error.exit_code)


def _exit_now(code: "int | str | None") -> NoReturn:
    """End the process; once JAX is loaded, without waiting for any thread, be it JAX's, jaxbatch's or the user's.

    Threads may still be in a kernel, a compiler or a disk access and would hold up the end. A C++ thread that outlives
    the interpreter would crash the process, with a wrong exit code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if "jax" in sys.modules and not isinstance(code, str):
        os._exit(code or 0)
    sys.exit(code)
