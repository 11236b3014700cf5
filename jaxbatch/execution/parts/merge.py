"""The stage ``merge``: a part with one row for every group of a bucket, from the statistics of all shards."""

import pyarrow as pa

from jaxbatch.errors import OutputError, printable
from jaxbatch.execution.parts.built import BuiltPart
from jaxbatch.execution.parts.context import PartContext
from jaxbatch.execution.parts.groups import fit_groups
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.output import part_file
from jaxbatch.output.catalog import Expected, PartCatalog
from jaxbatch.output.receipt import Receipt
from jaxbatch.planning.stage_plans import MergePlan
from jaxbatch.storage import Store

_UNREACHABLE = (ConnectionError, PermissionError, FileNotFoundError)
"""A store's errors that say nothing of an object's content; those of a bucket have no ``errno``."""


def build(process: WorkerProcess, stage: MergePlan, context: PartContext) -> BuiltPart | Receipt:
    """Merge the statistics of a bucket's groups and fit each; the receipt alone where the part is published already.

    Raises:
        OutputError: some statistics are damaged.
    """
    bucket, fingerprint = context.part.index, process.plan.fingerprint
    try:
        with context.result.stage("read"):
            tables = [
                _read_bucket(process.store, name, bucket, stage.partial_schema)
                for name in stage.partial_names(fingerprint)
            ]
    except FileNotFoundError:
        # Another driver of this run may have sealed it and removed the statistics: then the part is published.
        catalog = PartCatalog(process.store, stage.folder, fingerprint, [Expected(bucket, None)])
        published = catalog.published().get(bucket)
        if published is None:
            raise
        return published
    return fit_groups(process, context, tables)


def _read_bucket(store: Store, name: str, bucket: int, schema: pa.Schema) -> pa.Table:
    """One bucket of a part of statistics.

    Raises:
        OutputError: the part is damaged; it is removed, for the next run to compute again.
    """
    try:
        return part_file.read_bucket(store, name, bucket, schema)
    except (pa.ArrowInvalid, OSError, KeyError, ValueError) as error:
        if isinstance(error, OSError) and (error.errno is not None or isinstance(error, _UNREACHABLE)):
            raise  # the object is absent or cannot be reached, which says nothing of its content
        store.delete(name)
        raise OutputError(
            f"{store.url}/{name} was damaged and has been removed ({printable(error, 80)}).",
            "Run again to recreate it.",
        ) from error
