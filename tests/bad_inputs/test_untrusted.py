"""What a file says is never run."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.bad_inputs.conftest import JOB

NAMES = ["ray.data.arrow_pickled_object", "ray.data.arrow_tensor_v2", "arrow.py_extension_type"]


class Payload:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def poisoned(bench, name: str) -> Path:
    """A file of tasks with a column of an extension type, pickles in its metadata and in its rows: what they make."""
    made = bench.folder / "made"
    payload = pickle.dumps(Payload(made))
    pickle.loads(payload)  # it would
    made.unlink()
    metadata = {"ARROW:extension:name": name, "ARROW:extension:metadata": payload}
    schema = pa.schema([pa.field("x", pa.float64()), pa.field("object", pa.large_binary(), metadata=metadata)])
    bench.tasks(pa.table([pa.array([1.0]), pa.array([payload], pa.large_binary())], schema=schema), "tasks/a.parquet")
    return made


@pytest.mark.parametrize("keep", ['["object"]', "[]"])
@pytest.mark.parametrize("name", NAMES)
def test_pickles_are_refused_from_the_schema(bench, refusal, name, keep):
    made = poisoned(bench, name)
    assert "tasks/a.parquet: column 'object' has an extension type, which is refused" in refusal(f"input.keep={keep}")
    assert not made.exists()


@pytest.mark.parametrize("within", ["list", "struct"])
def test_pickles_inside_other_types(bench, refusal, within):
    made = poisoned(bench, NAMES[0])
    metadata = {"ARROW:extension:name": NAMES[0], "ARROW:extension:metadata": pickle.dumps(Payload(made))}
    inner = pa.field("element", pa.binary(), metadata=metadata)
    kind = pa.list_(inner) if within == "list" else pa.struct([inner])
    bench.tasks(pa.table({"x": [1.0], "y": pa.nulls(1, kind)}), "tasks/a.parquet")
    assert "column 'y' has an extension type" in refusal()


def test_a_type_that_this_process_knows_is_not_even_made(bench, refusal):
    """A library that registers a type, as ray.data does when it is imported, has its code run by whoever reads a schema
    that names the type."""

    class Eager(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.large_binary(), "tests.eager")

        def __arrow_ext_serialize__(self):
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage_type, serialized):
            del storage_type
            pickle.loads(serialized)
            return cls()

    made = poisoned(bench, "tests.eager")
    pa.register_extension_type(Eager())
    try:
        message = refusal()
    finally:
        pa.unregister_extension_type("tests.eager")
    assert "column 'object' has an extension type" in message
    assert not made.exists()


def test_the_words_alone_are_no_extension(bench):
    schema = pa.schema([pa.field("x", pa.float64()), pa.field("ARROW:extension:name", pa.int64())])
    bench.tasks(pa.table([[1.0], [2]], schema=schema), "tasks/a.parquet")
    summary = bench.run(JOB)
    assert bench.output(summary)["ARROW:extension:name"].to_pylist() == [2]


KERNEL = """
import sys
from jaxbatch import Column, Kernel

class Own(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("y"),)

    def bucket(self, columns):
        assert "ray.data" not in sys.modules, "a worker has imported ray.data"
        return 0

    def row(self, x):
        return {"y": x}
"""

SCRIPT = """
import json, sys
from jaxbatch import api
from jaxbatch.errors import InputError
codes = []
for job in ("bad.toml", "good.toml"):
    try:
        codes.append(api.run(job, engine=sys.argv[1], workers=1).exit_code)
    except InputError as error:
        codes.append(int(error.exit_code))
print(json.dumps({"codes": codes, "ray": "ray" in sys.modules, "ray.data": "ray.data" in sys.modules}))
"""


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_ray_data_is_never_imported(bench, engine):
    made = poisoned(bench, NAMES[0])
    bench.tasks({"x": [1.0]}, "good/a.parquet")
    bench.file("own.py", KERNEL)
    for name, path in {"bad": "tasks", "good": "good"}.items():
        bench.file(f"{name}.toml", f'kernel = "own.py:Own"\ninput.path = "{path}"\noutput.path = "results"\n')
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, engine], cwd=bench.folder, capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {"codes": [4, 0], "ray": engine == "ray", "ray.data": False}
    assert not made.exists()
