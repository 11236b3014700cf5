"""Neighbours that no import statement shows: by a name put together, a folder added to the path, a thread, a search."""

import subprocess
import sys

import pytest

from jaxbatch.kernels.functions import resolve
from tests.user_code.conftest import value

F = "\n\ndef f(x):\n    return x * K\n"


@pytest.mark.parametrize(
    "text",
    [
        "import importlib.util as u\nK = 1.0\nif u.find_spec('fast'):\n    from fast import K\n",
        "from importlib.util import find_spec\nK = 2.0 if find_spec('fast') is not None else 1.0\n",
        "import importlib\nK = importlib.__import__('fast').K\n",
    ],
    ids=["find_spec", "from", "__import__"],
)
def test_a_search_finds_what_an_import_would(text, write, tmp_path):
    write(functions=text + F, fast="K = 2.0\n")
    assert value("functions.py:f", tmp_path) == 2.0
    absent = "import importlib.util as u\nK = 1.0 if u.find_spec('not_there') is None else 0.0\n"
    write(functions=absent + F)
    assert value("functions.py:f", tmp_path) == 1.0


@pytest.mark.parametrize(
    "statement",
    [
        "K *= importlib.import_module('plugins.' + 'a').K",
        "K *= __import__('plugins.' + 'a', fromlist=['K']).K",
        "for each in ('a',):\n        K *= importlib.import_module('plugins.' + each).K",
        "exec('from plugins.a import K')",
    ],
    ids=["import_module", "__import__", "loop", "exec"],
)
def test_names_that_are_put_together(statement, write, tmp_path):
    write(
        functions=f"import importlib\n\nK = 1.0\ntry:\n    {statement}\nexcept ImportError:\n    pass\n{F}",
        plugins__in__a="K = 2.0\n",
    )
    assert value("functions.py:f", tmp_path) == 2.0
    write(plugins__in__a="K = 3.0\n")
    assert value("functions.py:f", tmp_path) == 3.0


def test_a_module_that_appears_is_taken(write, tmp_path):
    write(
        functions=f"import importlib\nK = 1.0\ntry:\n    K = importlib.import_module('la' + 'ter').K\n"
        f"except ImportError:\n    pass\n{F}"
    )
    assert value("functions.py:f", tmp_path) == 1.0
    write(later="K = 5.0\n")
    assert value("functions.py:f", tmp_path) == 5.0


def test_one_file_of_two_jobs_means_the_neighbours_of_each(write, tmp_path):
    write(lib__in__shared="import importlib\n\n\ndef f(x):\n    return x * importlib.import_module('fac' + 'tor').K\n")
    write(one__in__factor="K = 1.0\n", two__in__factor="K = 10.0\n")
    for job, wanted in (("one", 1.0), ("two", 10.0), ("one", 1.0)):
        assert value("../lib/shared.py:f", tmp_path / job) == wanted


def test_relative_imports_in_a_folder_without_init(write, tmp_path):
    write(functions=f"from core.ops import mul\nfrom core import two\nK = mul.K * two.K{F}", core__in__two="K = 3.0\n")
    write(
        core__in__ops__in__mul="from .add import K\nfrom . import add\nfrom ..two import K as L\n",
        core__in__ops__in__add="K = 2.0\n",
    )
    write(core__in__g=f"from .two import K{F}")
    assert value("functions.py:f", tmp_path) == 6.0
    assert value("core.g:f", tmp_path) == 3.0
    write(core__in__ops__in__add="K = 5.0\n", core__in__two="K = 4.0\n")
    assert value("functions.py:f", tmp_path) == 20.0


def test_a_folder_that_is_put_first_comes_first(write, tmp_path):
    put = "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'v2'))\nfrom cfg import K\n"
    write(functions=put + F, cfg="K = 1.0\n", v2__in__cfg="K = 2.0\n")
    for wanted in (2.0, 3.0):
        write(v2__in__cfg=f"K = {wanted}\n")
        assert value("functions.py:f", tmp_path) == wanted


def test_a_helper_may_add_folders_for_who_imports_it(write, tmp_path):
    add = "import os, sys\nsys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'src'))\n"
    write(
        paths=add,
        a__in__functions=f"import paths\nimport k4\nK = k4.K{F}",
        b__in__functions=f"import paths\nfrom k4 import K{F}",
    )
    write(src__in__k4="K = 2.0\n")
    before = list(sys.path)
    assert [value(f"{folder}/functions.py:f", tmp_path) for folder in "ab"] == [2.0, 2.0]
    assert sys.path == before


def test_a_folder_of_the_job_that_python_looks_in_is_the_users(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "src")
    write(
        functions=f"from mypkg_of_src.m import K{F}",
        src__in__mypkg_of_src__in____init__="",
        src__in__mypkg_of_src__in__m=f"K = 2.0{F}",
    )
    assert [value(each, tmp_path) for each in ("functions.py:f", "mypkg_of_src.m:f")] == [2.0, 2.0]
    write(src__in__mypkg_of_src__in__m=f"K = 3.0{F}")
    assert [value(each, tmp_path) for each in ("functions.py:f", "mypkg_of_src.m:f")] == [3.0, 3.0]


def test_threads_that_a_file_starts_may_import(write, tmp_path):
    write(
        functions="from concurrent.futures import ThreadPoolExecutor\n\n\ndef load(i):\n    import math\n"
        "    from weights import W\n    with open(__file__):\n        return math.sqrt(i) * W\n\n\n"
        "with ThreadPoolExecutor(2) as pool:\n    K = sum(pool.map(load, range(5)))\n" + F,
        weights="W = 2.0\n",
    )
    script = (
        "from pathlib import Path\nfrom jaxbatch.kernels.functions import resolve\n"
        f"print(resolve('functions.py:f', Path({str(tmp_path)!r}))(1.0))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert float(ended.stdout) == pytest.approx(2 * (1 + 2**0.5 + 3**0.5 + 2)), ended.stderr


def test_arrays_of_a_module_have_the_precision_that_it_was_asked_for_in(write, tmp_path):
    import jax

    write(tables="import jax.numpy as jnp\nT = jnp.asarray([0.1])\n")
    write(
        functions="def host():\n    from tables import T\n    return T.dtype\n\n\n"
        "def f(x):\n    from tables import T\n    return T\n"
    )
    with jax.enable_x64(True):
        host, f = (resolve(f"functions.py:{name}", tmp_path) for name in ("host", "f"))
    with jax.enable_x64(False):
        assert host() == "float64"
    assert f(1.0).dtype == "float64"


def test_weights_that_were_not_there_are_read_when_they_are(write, tmp_path):
    write(
        functions="from pathlib import Path\nK = 1.0\ntry:\n"
        "    K = float((Path(__file__).parent / 'w.txt').read_text())\n"
        f"except FileNotFoundError:\n    pass\n{F}"
    )
    assert value("functions.py:f", tmp_path) == 1.0
    (tmp_path / "w.txt").write_text("5.0")
    assert value("functions.py:f", tmp_path) == 5.0


def test_a_large_package_is_not_parsed_for_one_of_its_files(write, tmp_path):
    """A file that Python cannot parse, or nobody may read, matters to who imports it only."""
    write(
        big__in____init__="",
        big__in__used=f"from .other import K{F}",
        big__in__other="K = 2.0\n",
        big__in__broken="def (:\n",
    )
    (tmp_path / "big" / "secret.py").symlink_to(tmp_path / "nowhere")
    assert value("big/used.py:f", tmp_path) == 2.0
    assert value("big.used:f", tmp_path) == 2.0
