"""The job server as ours sees it, by one that answers what it is told to: who is let in, joined, believed and shown."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import ray

from jaxbatch import Job
from jaxbatch.cli.remote.log_lines import parse_progress
from jaxbatch.cluster.submission import following
from jaxbatch.cluster.submission.client import JobServer, JobState
from jaxbatch.cluster.submission.request import Request, request
from jaxbatch.errors import AccessError, ClusterError, ExitCode, JobError, UsageError

TOKEN = "0123456789abcdef" * 4


class Server:
    """A job server on loopback. ``answers`` has status and body for a method and path, where they are not its own."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.open = False
        self.seen: list[tuple[str, str | None]] = []
        self.jobs: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                token = self.headers.get("Authorization")
                server.seen.append((f"{self.command} {self.path}", token))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, said = server.reply(self.command, self.path, token, body)
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def reply(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, Any]:
        if f"{method} {path}" in self.answers:
            return self.answers[f"{method} {path}"]
        if token != f"Bearer {TOKEN}" and not self.open:
            return 401, "who are you"
        if path == "/api/version":
            return 200, {"version": "4", "ray_version": ray.__version__, "ray_commit": "", "session_name": ""}
        if path.startswith("/api/packages"):
            return 200, {}
        if method == "POST":
            asked = json.loads(body)
            self.jobs.append(job(asked["submission_id"], "PENDING", asked["metadata"]))
            return 200, {"job_id": asked["submission_id"], "submission_id": asked["submission_id"]}
        return 200, self.jobs

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def job(identity: str, status: str, metadata: dict[str, str] | None = None, code: int | None = None) -> dict[str, Any]:
    known = {"type": "SUBMISSION", "entrypoint": "true", "metadata": metadata or {}, "driver_exit_code": code}
    return {"submission_id": identity, "status": status, **known}


@pytest.fixture
def server(monkeypatch):
    made = Server()
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    yield made
    made.close()


@pytest.fixture
def asked(bench) -> Request:
    loaded = bench.job('kernel = "apply"\nparams.function = "jax.numpy:sin"\n')
    return request(loaded, bench.folder / "job.toml", [], [], [])


def test_a_cluster_that_asks_for_no_token_is_refused_and_sees_none(server):
    server.open = True
    with pytest.raises(AccessError, match="does not require a token"):
        JobServer(server.url)
    assert [token for _, token in server.seen] == [None]
    JobServer(server.url, allow_unauthenticated=True)


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_only_a_refusal_shows_that_it_asks(status, server):
    server.answers["GET /api/jobs/"] = status, "later"
    with pytest.raises(AccessError if status < 400 else ClusterError):
        JobServer(server.url)
    assert [token for _, token in server.seen] == [None]


def test_the_address_is_the_one_that_was_given(server, monkeypatch):
    other = Server()
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, other.url)
    JobServer(server.url).states()
    other.close()
    assert other.seen == []
    assert os.environ["RAY_ADDRESS"] == other.url


@pytest.mark.parametrize("token", ["has a space", "line\nbreak", "ümlaut"])
def test_a_token_that_is_none_is_not_shown(token, server, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(AccessError) as refused:
        JobServer(server.url)
    assert token not in str(refused.value)
    monkeypatch.setenv("RAY_AUTH_TOKEN", f"{TOKEN}\n")
    assert JobServer(server.url).states() == []


def test_only_the_same_request_is_joined(server, asked):
    client = JobServer(server.url)
    server.jobs = [job(f"{asked.id}-20261125", "RUNNING"), job(asked.id, "FAILED")]
    first, new = following.start(client, asked)
    assert (first, new) == (f"{asked.id}-2", True), "the others are not ours, whatever they are called"
    assert following.start(client, asked) == (first, False)
    server.jobs[-1]["status"] = "SUCCEEDED"
    assert following.start(client, asked) == (f"{asked.id}-3", True)


def test_another_job_of_that_id_is_not_joined(server, bench):
    client = JobServer(server.url)
    loaded = bench.job('kernel = "apply"\nparams.function = "jax.numpy:sin"\n')
    asked = [request(loaded, bench.folder / "job.toml", [f"date=2026-11-{day}"], [], [], "nightly") for day in (21, 22)]
    assert following.start(client, asked[0]) == ("nightly", True)
    with pytest.raises(UsageError, match="A different job with the id nightly is running"):
        following.start(client, asked[1])


def test_an_ended_job_whose_log_is_gone_has_ended(server, monkeypatch):
    monkeypatch.setattr(following, "POLL_S", 0.0)
    server.answers["GET /api/jobs/x"] = 200, job("x", "SUCCEEDED")
    server.answers["GET /api/jobs/x/logs"] = 500, "the node with port 40404 is gone"
    assert following.follow(JobServer(server.url), "x", print).status == "SUCCEEDED"


def test_a_job_that_is_forgotten_while_it_is_followed_is_no_usage_error(server, monkeypatch):
    monkeypatch.setattr(following, "POLL_S", 0.0)
    server.answers["GET /api/jobs/x"] = 404, "no such job"
    with pytest.raises(UsageError, match="no job 'x'"):
        following.follow(JobServer(server.url), "x", print)
    server.answers["GET /api/jobs/x"] = 200, job("x", "RUNNING")
    server.answers["GET /api/jobs/x/logs"] = 200, {"logs": "a line\n"}

    def forget(_: str) -> None:
        server.answers["GET /api/jobs/x"] = 404, "no such job"

    with pytest.raises(ClusterError, match="had the job before"):
        following.follow(JobServer(server.url), "x", forget)


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [
        ("RUNNING", None, ExitCode.DONE),
        ("SUCCEEDED", 0, ExitCode.DONE),
        ("STOPPED", None, ExitCode.TERMINATED),
        ("FAILED", 3, ExitCode.TOO_MANY_FAILED_ROWS),
        ("FAILED", 75, ExitCode.UNREACHABLE),
        ("FAILED", None, ExitCode.UNREACHABLE),
        ("FAILED", 137, ExitCode.UNREACHABLE),
        ("FAILED", -9, ExitCode.UNREACHABLE),
        ("FAILED", 127, ExitCode.REFUSED),
        ("FAILED", 17, ExitCode.PARTS_FAILED),
    ],
)
def test_exit_codes(status, driver, code):
    assert following.exit_code(JobState("x", status, "", driver, {})) == code


@pytest.mark.parametrize("line", ['{"progress": 5}', '{"progress": {"rows": 1}}', "{" * 9999, "[" * 99999, "rows 1"])
def test_what_is_no_progress(line):
    assert parse_progress(line) is None


class TestBundle:
    """What goes along."""

    def ask(self, folder: Path, job: str, name: str = "job.toml") -> Request:
        (folder / name).write_text(f'{job}\n[input]\npath = "tasks"\n[output]\npath = "results/today"\n')
        return request(Job.load(folder / name), folder / name, [], [], [])

    def test_of_installed_modules_the_job_alone(self, tmp_path):
        (tmp_path / "private.txt").write_text("private")
        assert self.ask(tmp_path, 'kernel = "apply"\nparams.function = "jax.numpy:sin"').bundle.files == ("job.toml",)

    def test_outputs_secrets_and_links_that_lead_out_stay(self, tmp_path):
        folder = tmp_path / "job"
        folder.mkdir()
        (tmp_path / "secret").write_text("secret")
        (folder / "link").symlink_to(tmp_path / "secret")
        for name in ("f.py", "weights.npy", "key.pem", "id_rsa", ".env", "report.html"):
            (folder / name).write_text("")
        first = self.ask(folder, 'kernel = "apply"\nparams.function = "f.py:f"')
        assert first.bundle.files == ("f.py", "job.toml", "weights.npy")
        (folder / "results/yesterday/_jaxbatch").mkdir(parents=True)
        (folder / "results/yesterday/_jaxbatch/plan.json").write_text("{}")
        assert self.ask(folder, 'kernel = "apply"\nparams.function = "f.py:f"').id == first.id

    def test_a_linked_job_is_the_one_it_leads_to(self, tmp_path):
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib/f.py").write_text("")
        real = self.ask(tmp_path / "lib", 'kernel = "apply"\nparams.function = "f.py:f"', "real.toml")
        (tmp_path / "other.toml").symlink_to(tmp_path / "lib/real.toml")
        linked = request(Job.load(tmp_path / "other.toml"), tmp_path / "other.toml", [], [], [])
        assert (linked.bundle, linked.command) == (real.bundle, real.command)

    def test_what_lies_elsewhere_is_refused(self, tmp_path):
        (tmp_path / "job").mkdir()
        with pytest.raises(JobError, match="does not lie in"):
            self.ask(tmp_path / "job", 'kernel = "apply"\nparams.function = "../f.py:f"')

    def test_too_much_is_refused_with_what_is_largest(self, tmp_path):
        (tmp_path / "f.py").write_text("")
        with (tmp_path / "huge.bin").open("wb") as file:
            file.truncate(101 * 2**20)
        with pytest.raises(JobError, match=r"huge.bin \(101 MiB\)"):
            self.ask(tmp_path, 'kernel = "apply"\nparams.function = "f.py:f"')

    @pytest.mark.parametrize("identity", ["", "a/b", "..", "a b", "x" * 101])
    def test_an_id_is_a_name(self, identity, tmp_path):
        (tmp_path / "job.toml").write_text(
            'kernel = "apply"\nparams.function = "jax.numpy:sin"\ninput.path = "x"\noutput.path = "y"\n'
        )
        with pytest.raises(UsageError):
            request(Job.load(tmp_path / "job.toml"), tmp_path / "job.toml", [], [], [], identity)


def test_relative_paths_start_where_they_are_told_to(bench, tmp_path_factory, jaxbatch):
    """Patterns mean what they mean in the job's own folder, whatever that is called."""
    data = tmp_path_factory.mktemp("data") / "[old]"
    data.mkdir()
    bench.tasks({"x": [1.0]}).rename(data / "a.parquet")
    bench.file("job.toml", 'kernel="apply"\nparams.function="jax.numpy:sin"\ninput.path="*.parquet"\noutput.path="r"\n')
    ended = jaxbatch("run", "job.toml", "--paths-from", data)
    assert ended.returncode == 0, ended.stderr
    assert (data / "r/_SUCCESS").exists()


def test_a_job_that_does_not_say_what_computes_is_not_submitted(server, bench, jaxbatch):
    bench.job('kernel = "apply"\nparams.function = "jax.numpy:sin"\n')
    for options in ((), ("--no-wait",), ("--dry-run",)):
        ended = jaxbatch("submit", "job.toml", "--address", server.url, *options)
        assert ended.returncode == ExitCode.REFUSED, ended.stderr
        assert "job.toml, key 'compute.device': is missing" in ended.stderr
        assert 'Add device = "cpu" or device = "gpu" to [compute].' in ended.stderr
    assert not server.seen
    said = jaxbatch("submit", "job.toml", "--address", server.url, "--no-wait", "--set", "compute.device='cpu'")
    assert said.returncode == 0, said.stderr
    assert len(server.jobs) == 1


def test_what_would_be_sent_is_shown_without_a_cluster(bench, jaxbatch):
    bench.job('kernel = "apply"\nparams.function = "jax.numpy:sin"\n')
    shown = jaxbatch("submit", "job.toml", "--dry-run")
    assert (shown.returncode, "job.toml" in shown.stdout) == (0, True), shown.stderr
    missing = jaxbatch("submit", "job.toml")
    assert (missing.returncode, "Missing option '--address'" in missing.stderr) == (2, True)


@pytest.mark.parametrize(("path", "here"), [("market.parquet", True), ("s3://bucket/market.parquet", False)])
def test_a_table_beside_the_job_is_found_from_its_folder(bench, path, here):
    text = (
        'kernel = "apply"\nparams.function = "jax.numpy:sin"\n[input]\npath = "s3://bucket/tasks"\n'
        f'[input.lookup.market]\npath = "{path}"\non = ["k"]\n[output]\npath = "s3://bucket/results"\n'
    )
    asked = request(bench.job(text), bench.folder / "job.toml", [], [], [])
    assert ("--paths-from" in asked.command) is here
