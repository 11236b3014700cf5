"""A Ray cluster as one starts it by hand: ``ray start`` with a token, a job server, and nodes of several kinds."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class RayCluster:
    """A head with a job server and some CPUs; nodes are added and killed. An autoscaler has a file and variables."""

    def __init__(
        self,
        folder: str,
        cpus: int = 1,
        scaled: "dict[str, Any] | None" = None,
        options: Sequence[str] = (),
        **environment: str,
    ):
        self.token = secrets.token_hex(32)
        self.folder = folder
        self._more = environment
        self.gcs, self.dashboard = f"127.0.0.1:{free_port()}", free_port()
        self.url = f"http://127.0.0.1:{self.dashboard}"
        self.nodes: list[subprocess.Popen[bytes]] = []
        port = self.gcs.rpartition(":")[2]
        head = ["--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--dashboard-port={self.dashboard}"]
        if scaled:
            scaled["provider"]["gcs_address"] = self.gcs
            file = Path(folder) / "autoscaling.json"
            file.write_text(json.dumps(scaled))
            head.append(f"--autoscaling-config={file}")
        self.start(*head, *options, cpus=cpus)
        self._wait()

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever may use it."""
        known = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "JAXBATCH_CACHE"))}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        ours = {
            "PATH": path,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_enable_metrics_collection": "0",
        }
        ours |= self._more
        return {**known, **ours, "JAXBATCH_CACHE": os.environ["JAXBATCH_CACHE"], "RAY_TMPDIR": self.folder}

    def start(
        self, *options: str, cpus: int = 1, gpus: int = 0, resources: str = "{}", **environment: str
    ) -> subprocess.Popen[bytes]:
        """A node that stays in the foreground, and so ends with its process. Its GPUs are only counted."""
        command = [str(BIN / "ray"), "start", "--block", f"--num-cpus={cpus}", f"--num-gpus={gpus}", *options]
        command += [f"--resources={resources}", "--object-store-memory=100000000", "--disable-usage-stats"]
        node = subprocess.Popen(
            command,
            env={**self.environment, **environment},
            cwd=self.folder,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.nodes.append(node)
        return node

    def add(self, **options: Any) -> subprocess.Popen[bytes]:
        """One more node, with a temporary folder of its own: Ray unpacks a job's files there, anew for each node."""
        own = f"--temp-dir={self.folder}/{len(self.nodes)}"
        return self.start(f"--address={self.gcs}", "--node-ip-address=127.0.0.1", own, **options)

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """End a node at once, with all its processes."""
        os.killpg(node.pid, signal.SIGKILL)
        node.wait(timeout=60)
        self.nodes.remove(node)

    def ask(self, path: str) -> Any:
        """What the job server answers."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def _wait(self) -> None:
        until = time.monotonic() + 120
        while True:
            try:
                self.ask("/api/jobs/")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert time.monotonic() < until, "no job server"
                assert self.nodes[0].poll() is None, "no head"
                time.sleep(0.2)

    def close(self) -> None:
        """End all nodes, the head last."""
        for node in reversed(self.nodes):
            node.terminate()
        for node in reversed(self.nodes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(timeout=20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait(timeout=60)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """Three nodes of different resources."""
    with tempfile.TemporaryDirectory(prefix="jb-", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(folder)
        try:
            cluster.add(resources='{"fast": 1}')
            cluster.add(cpus=2)
            yield cluster
        finally:
            cluster.close()


@pytest.fixture
def submitter(ray_cluster: RayCluster, tmp_path: Path) -> Any:
    """The command line against the cluster, in the test's folder."""

    def call(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**ray_cluster.environment, **options.pop("env", {})}
        return subprocess.run(
            [sys.executable, "-m", "jaxbatch", *map(str, arguments), "--address", ray_cluster.url],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            **options,
        )

    return call
