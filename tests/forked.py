"""``python -m jaxbatch`` without the second that importing JAX takes: forked off a process that has imported it.

``python -m tests.forked`` is that process. A line of its input is a command as a JSON list: arguments, folder,
environment, and files for stdout and stderr. For each it prints the exit status, or minus the number of the signal that
ended it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

READ_AT_IMPORT = ("ARROW", "JAX", "LIBTPU", "MALLOC", "NPROC", "OPENBLAS", "PYTHON", "RAY", "XLA")
"""How the names of environment variables begin that libraries read when they are imported."""


class ForkServer:
    """The process from which commands are forked, one at a time. It starts with the first of them."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._environment = dict(os.environ)

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Whether a process that starts in this environment would have imported the same."""
        return _read_at_import(environment) == _read_at_import(self._environment)

    def run(
        self, arguments: list[str], *, cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """What ``subprocess.run([sys.executable, "-m", "jaxbatch", …])`` gives, with its output as text."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            try:
                process.stdin.write(json.dumps([arguments, str(cwd), dict(environment), str(out), str(err)]) + "\n")
                process.stdin.flush()
                status = int(process.stdout.readline())
            except BaseException:  # such as a test's time-out: the next command starts another server
                os.killpg(process.pid, signal.SIGKILL)
                self.close()
                raise
            return subprocess.CompletedProcess(arguments, status, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parent.parent,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


def serve() -> None:
    """Import what most commands need, then fork one for each line of the input."""
    import jax.numpy  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import jaxbatch.api
    import jaxbatch.cli.run
    import jaxbatch.kernels.builtin.derivatives
    import jaxbatch.planning.planner  # noqa: F401

    for line in sys.stdin:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns of threads, which it has not started yet
            child = os.fork()
        if child == 0:
            become(*json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    """Run the command in this process, as one that has just started would."""
    for number, name, flags in (0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY):
        os.dup2(os.open(name, flags | os.O_CREAT, 0o600), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = os.getcwd()  # where ``python -m`` looks first
    sys.argv = ["jaxbatch", *arguments]
    from jaxbatch.cli import main

    main()
    os._exit(0)  # as main() has done


if __name__ == "__main__":
    serve()
