"""A private Ray: what it starts with, and that it leaves nothing behind."""

import json
import subprocess
import sys

SCRIPT = """
import json, os, sys
from pathlib import Path
from jaxbatch.compilation import process_setup
process_setup.prepare(platforms="cpu")
import ray
from jaxbatch.cluster.connection import Connection

def has_imported():
    import sys
    return "jaxbatch.execution.shard_run" in sys.modules

def processes(folder):
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [each.parent.name] * (folder.encode() in each.read_bytes())
        except OSError:
            pass  # it has ended meanwhile
    return found

before = dict(os.environ)
private = Connection(None)
folder = private._folder
seen = {"mode": os.stat(folder).st_mode & 0o777, "processes": bool(processes(folder))}
seen["preloaded"] = ray.get(ray.remote(has_imported).remote())
private.close()
seen["left"] = processes(folder), os.path.exists(folder)
seen["variables"] = sorted(name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name))
print(json.dumps(seen))
"""


def test_a_private_ray_has_ready_workers_and_leaves_no_process_folder_or_variable_behind(tmp_path):
    """Ready workers rest on a setting of Ray's, which another Ray may drop without a word."""
    ended = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "mode": 0o700,
        "processes": True,
        "preloaded": True,
        "left": [[], False],
        "variables": [],
    }
