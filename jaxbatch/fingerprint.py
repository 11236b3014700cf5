"""The identity of a run: everything that can change a bit of its output, and nothing else."""

import ast
import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxbatch import __version__
from jaxbatch.compiled import Programs
from jaxbatch.errors import JobError
from jaxbatch.instructions import flags, of_this_processor
from jaxbatch.kernel import Kernel
from jaxbatch.traced import precision, representative, trace


def fingerprint(identity: Mapping[str, Any]) -> str:
    """The SHA-256 of an identity, in hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def code_identity(kernel: Kernel, programs: Programs) -> dict[str, Any]:
    """What the code of this process would compute: the part of an identity that every worker checks for itself.

    Args:
        kernel: as the job has it, before it was bound to an input.
        programs: those of the bound kernel.

    Raises:
        JobError: the function cannot be traced, or calls back into Python.
    """
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "pyarrow")}
    return {
        "program": [traced.digest.hexadecimal for traced in programs.representative()],
        "kernel": host_code_digest(type(kernel)),
        "versions": {"jaxbatch": __version__, **versions},
        "xla_flags": flags(),
        "instructions": of_this_processor(),
    }


def check_pure(programs: Programs) -> None:
    """Trace the first program once more. What a worker traces is compared with the plan, so only planning need ask.

    Raises:
        JobError: it is another program then.
    """
    first = representative(programs.kernel)[0]
    with precision(programs.dtype, programs.kernel):
        again = trace(programs.kernel, first, programs.dtype)
    if again.digest != programs.traced(first).digest:
        raise JobError(
            f"{programs.kernel.describe_bucket(first.bucket)} traces to another program each time.",
            "It uses the time, random numbers or a global that changes: make it a pure function of its arguments.",
        )


def host_code_digest(kernel: type[Kernel]) -> str | None:
    """A digest of what a user's own kernel does outside the traced program: choose buckets and sizes.

    The modules that define its classes as Python parses them, so comments and layout do not count; docstrings are
    taken out. None for the kernels of this package, for which its version stands.
    """
    own = [each for each in kernel.__mro__ if issubclass(each, Kernel) and not each.__module__.startswith("jaxbatch.")]
    if not own:
        return None
    files = dict.fromkeys(inspect.getfile(each) for each in own)
    trees = [ast.parse(Path(file).read_text(encoding="utf-8")) for file in files]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256("".join(map(ast.dump, trees)).encode()).hexdigest()
