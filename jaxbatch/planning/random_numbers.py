"""What is drawn for rows: the sample, and the random key that a kernel asks for; checked against job and input."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from jaxbatch.errors import InputError, JobError, nearest
from jaxbatch.input.input_file import InputFile
from jaxbatch.input.row_identity.draws import RANDOM_KEY
from jaxbatch.input.row_identity.folds import can_name
from jaxbatch.input.row_identity.identity import RowIdentity
from jaxbatch.input.row_identity.names import check_distinct, row_name
from jaxbatch.input.row_identity.row_numbers import NUMBER
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.job.model import Job
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.random_keys import ARGUMENT, DTYPE


def with_random_numbers(job: Job, steps: RowSteps, kernel: Kernel, context: BindContext, files: pa.Schema) -> RowSteps:
    """The steps with the job's sample and the kernel's random key, if there are any.

    Args:
        job: the job.
        steps: the steps before.
        kernel: bound to the input.
        context: what it was bound to.
        files: the schema of the input's files.

    Raises:
        JobError: the job gives a seed or names rows, and nothing is drawn; or the kernel asks for what no key can be.
        InputError: the files lack a column that names rows, or have it in a type that cannot.
    """
    keyed = _check_kernel(kernel, context)
    if not keyed and job.input.sample is None:
        for keys, given in ((("compute", "seed"), job.compute.seed), (("input", "key_by"), job.input.key_by)):
            if given is not None:
                raise job.error(
                    keys,
                    f"nothing uses it: there is no [input] sample, and no argument '{ARGUMENT}'.",
                    "Remove it, or take the random key: def f(…, key).",
                )
        return steps
    if taken := {RANDOM_KEY, NUMBER} & set(steps.with_added(files).names):
        raise InputError(f"The input has a column {min(taken)!r}, a name of jaxbatch's own.", "Rename it.")
    return replace(
        steps,
        sample=job.input.sample,
        seed=job.compute.seed or 0,
        named_by=RowIdentity(_naming_columns(job, files)),
        random_keys=keyed,
    )


def named_files(job: Job, steps: RowSteps, files: Sequence[InputFile], earlier: Mapping[str, str]) -> RowSteps:
    """The steps with what each file is called, where file and place name a row.

    Args:
        job: the job.
        steps: the steps before.
        files: the input's.
        earlier: by what they were called, the paths of files that earlier runs of the output have computed.

    Raises:
        InputError: two files are called the same.
    """
    if steps.named_by is None or steps.named_by.columns:
        return steps
    names = tuple(row_name(job, file.path) for file in files)
    check_distinct(list(zip(names, (file.path for file in files), strict=True)), earlier)
    return replace(steps, named_by=replace(steps.named_by, names=names))


def _check_kernel(kernel: Kernel, context: BindContext) -> bool:
    """Whether a kernel takes a random key.

    Raises:
        JobError: it takes several, or one of observations; it gives one as a result; or the job gives it a value.
    """
    name = type(kernel).__name__
    for column in kernel.results:
        if column.dtype == DTYPE:
            raise JobError(
                f"{name} declares the output '{column.name}' as a random key, which cannot be written.",
                'Declare Column("…", "uint32", shape=(2,)), and return jax.random.key_data(key).',
            )
    keys = [column for column in kernel.read if column.dtype == DTYPE]
    if not keys:
        return False
    if len(keys) > 1 or keys[0].shape or kernel.grouping:
        what = "several random keys" if len(keys) > 1 else f"the random key '{keys[0].name}'"
        of = " in a shape" if keys[0].shape else " of observations" if kernel.grouping else ""
        raise JobError(f"{name} takes {what}{of}; a row has one.", "Take one key, and make more with jax.random.split.")
    context.require_input(keys[0])
    return True


def _naming_columns(job: Job, files: pa.Schema) -> tuple[str, ...]:
    columns = tuple(job.input.key_by or ())
    for name in columns:
        if name not in files.names:
            raise job.error(("input", "key_by"), f"the files have no column '{name}'.", nearest(name, files.names))
        if not can_name(files.field(name).type):
            raise job.error(
                ("input", "key_by"),
                f"column '{name}' is {files.field(name).type}, which cannot name a row.",
                "Name rows by integers, texts, dates or timestamps, or cast the column.",
            )
    if len(set(columns)) < len(columns):
        raise job.error(("input", "key_by"), "a column is named twice.", "List each column once.")
    return columns
