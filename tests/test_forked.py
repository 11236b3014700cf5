"""Commands that tests fork off a process with JAX imported end and say what those in new processes do."""

import os
import subprocess
import sys

import pytest

JOB = 'kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sin"\n'


@pytest.mark.parametrize(
    "words", [["plan", "job.toml", "--json"], ["run", "absent.toml"], ["no-such-command"]], ids=str
)
def test_a_forked_command_is_like_any_other(words, bench, fork_server):
    bench.tasks({"x": [0.0, 1.0]})
    bench.job(JOB)
    forked = fork_server.run(words, cwd=bench.folder, environment=os.environ)
    command = [sys.executable, "-m", "jaxbatch", *words]
    other = subprocess.run(command, cwd=bench.folder, capture_output=True, text=True)
    assert (forked.returncode, forked.stdout, forked.stderr) == (other.returncode, other.stdout, other.stderr)


def test_what_libraries_read_at_their_import_needs_a_new_process(fork_server):
    assert fork_server.serves({**os.environ, "COUNTING_LOG": "rows.log"})
    assert not fork_server.serves({**os.environ, "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"})
    assert not fork_server.serves({**os.environ, "JAX_PLATFORMS": "cuda"})
