"""The project's own files: the cluster file by Ray's validation, constraints without addresses, layering."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "jaxbatch"

PUBLIC = {
    "jaxbatch": "BindContext Column Grouping Job Kernel Maybe Progress Status StorageOptions Summary plan run verify",
    "jaxbatch.errors": "JaxbatchError JobError InputError OutputError ClusterError StorageError AccessError UsageError",
    "jaxbatch.least_squares": "Fit fit",
    "jaxbatch.report": "write",
    "jaxbatch.series": "Arithmetic Expansion Recurrence Series SeriesError expand register_rule taylor",
}
"""What users import, wherever the modules lie that define it."""
CLUSTER = (ROOT / "cluster.yaml").read_text()


def test_ray_accepts_the_cluster_file():
    config = prepare_config(yaml.safe_load(CLUSTER))
    validate_config(config)
    worker = config["available_node_types"]["gpu_worker"]
    assert worker["resources"]["GPU"] >= 1
    assert worker["min_workers"] < worker["max_workers"], "the GPU group autoscales"


def test_ray_accepts_the_on_premises_form_in_its_comment():
    comment = CLUSTER[CLUSTER.index("# provider:\n#     type: local") :]
    local = yaml.safe_load("\n".join(line.removeprefix("#").removeprefix(" ") for line in comment.splitlines()))
    cloud_only = {"provider", "auth", "available_node_types", "head_node_type"}
    config = {key: value for key, value in yaml.safe_load(CLUSTER).items() if key not in cloud_only} | local
    validate_config(prepare_config(config))


def test_constraints_name_packages_and_versions_only():
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+-]+", line), line
        name, _, pin = line.partition("==")
        pinned[name.lower().replace("_", "-")] = pin
    for line in requires("jaxbatch") or []:
        requirement = Requirement(line)
        if requirement.marker is None or "dev" in str(requirement.marker):
            assert requirement.name in pinned, f"{requirement.name} is not pinned"
            assert requirement.specifier.contains(pinned[requirement.name])


def test_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"cuda", "report", "dev", "bench"} <= set(extras)


def test_versions_here_are_the_pinned_ones():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for name in ("jax", "jaxlib", "ray", "pyarrow", "click"):
        try:
            assert version(name) == pins[name]
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed")


def test_imports_point_down_only():
    finished = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("module", PUBLIC)
def test_what_users_import_is_there(module):
    found = importlib.import_module(module)
    assert not [name for name in PUBLIC[module].split() if not hasattr(found, name)]


def test_what_is_public_is_what_is_said_to_be():
    import jaxbatch

    assert sorted(jaxbatch.__all__) == sorted(PUBLIC["jaxbatch"].split())
    assert not hasattr(jaxbatch, "driver")


def test_a_folder_can_be_taken_in_at_a_glance():
    """At most 16 folders and 10 files at the top, 16 modules in a folder, 300 lines in a file; a charter in each."""
    folders = [path for path in PACKAGE.rglob("*") if path.is_dir() and any(path.glob("*.py"))]
    assert sum(folder.parent == PACKAGE for folder in folders) <= 16
    assert sum(path.is_file() for path in PACKAGE.iterdir()) <= 10
    crowded = {str(folder): len(list(folder.glob("*.py"))) - 1 for folder in folders}
    assert not {name: count for name, count in crowded.items() if count > 16}
    files = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {name: count for name, count in files.items() if count > 300}
    assert all((folder / "__init__.py").read_text(encoding="utf-8").startswith('"""') for folder in folders)
