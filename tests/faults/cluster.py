"""A Ray cluster of several nodes on loopback, in a process of its own: ``python cluster.py NODES GPUS``.

The head has so many GPUs, which are only counted.

Prints its address, then kills the raylet of node N for every N on a line of its input, and ends with that.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

TOKEN = "0123456789abcdef" * 4


@contextlib.contextmanager
def cluster(nodes: int, gpus: int = 0, /, **environment: str) -> Iterator[tuple[str, Callable[[int], None]]]:
    """A cluster's address, and a way to kill the raylet of one of its nodes."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(nodes), str(gpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def kill(node: int) -> None:
        stdin.write(f"{node}\n")
        stdin.flush()
        assert stdout.readline() == "killed\n"

    try:
        yield stdout.readline().strip(), kill
    finally:
        stdin.close()
        process.wait(timeout=60)
        stdout.close()


def main() -> None:
    from ray.cluster_utils import Cluster

    with contextlib.redirect_stdout(sys.stderr):
        made = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "num_gpus": int(sys.argv[2]), "include_dashboard": False},
        )
        workers = [made.add_node(num_cpus=1) for _ in range(int(sys.argv[1]) - 1)]
        made.wait_for_nodes()
    print(made.address, flush=True)
    for line in sys.stdin:
        workers[int(line)].kill_raylet()
        print("killed", flush=True)
    made.shutdown()


if __name__ == "__main__":
    main()
