"""Where nothing but CPUs can be found, that is known without JAX; and JAX is asked wherever it could find more."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from jaxbatch.compilation import devices
from jaxbatch.compilation.before_jax import accelerators, jax_import

ASK = (
    "import sys\nfrom jaxbatch.compilation.before_jax import accelerators\n"
    "print(accelerators.only_cpus(), 'jax' in sys.modules)\n"
)


def _asked(folder: Path, monkeypatch, **variables: str) -> str:
    """What a new process says, with ``folder`` in its path."""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    for name, value in {"PYTHONPATH": str(folder), **variables}.items():
        monkeypatch.setenv(name, value)
    return subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout.strip()


needs_cpus_only = pytest.mark.skipif(
    any(device.platform != "cpu" for device in jax.devices()), reason="there is an accelerator"
)


@needs_cpus_only
@pytest.mark.parametrize("platforms", ["", "cpu"])
def test_only_cpus_where_nothing_else_is_installed(platforms, tmp_path, monkeypatch):
    assert _asked(tmp_path, monkeypatch, JAX_PLATFORMS=platforms) == "True False"


@pytest.mark.parametrize(
    "variables",
    [
        {"JAX_PLATFORMS": "cuda,cpu"},
        {"JAX_PLATFORM_NAME": "gpu"},
        {"PJRT_NAMES_AND_LIBRARY_PATHS": "mine:/mine.so"},
        {"TPU_LIBRARY_PATH": "/libtpu.so"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_variables_that_may_bring_other_devices(variables, tmp_path, monkeypatch):
    assert _asked(tmp_path, monkeypatch, **variables) == "False False"


def test_packages_that_may_bring_other_devices(tmp_path, monkeypatch):
    for file in ("jax_plugins/mine/__init__.py", "libtpu/__init__.py"):
        folder = tmp_path / Path(file).parts[0]
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
        assert _asked(tmp_path, monkeypatch) == "False False"
        folder.rename(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").rename(tmp_path / f"not_{folder.name}")


def test_entry_points_that_may_bring_other_devices(tmp_path, monkeypatch):
    installed = tmp_path / "mine-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[jax_plugins]\nmine = mine_plugin\n")
    assert _asked(tmp_path, monkeypatch) == "False False"


def test_jax_is_asked_once_it_is_imported():
    assert jax_import.imported()
    assert not accelerators.only_cpus()
    assert devices.described_here("cpu") == devices.described(jax.local_devices(backend="cpu")[0])


@needs_cpus_only
def test_the_device_is_the_one_that_jax_would_find(tmp_path, monkeypatch):
    code = (
        "import sys\nfrom jaxbatch.compilation import devices\nknown = devices.described_here()\n"
        "assert 'jax' not in sys.modules\nimport jax\nassert known == devices.described(jax.devices()[0]), known\n"
    )
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
