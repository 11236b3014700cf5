"""What the user's modules import: each its own neighbours, as they are now, and each once."""

import os
import struct
import sys
import sysconfig
import threading

import pytest

from jaxbatch.errors import ExitCode, JobError
from jaxbatch.kernels.functions import resolve
from jaxbatch.user_code import forget
from tests.user_code.conftest import value

FACTOR = "from constants import FACTOR\n\n\ndef f(x):\n    return FACTOR * x\n"


@pytest.mark.parametrize(
    "statement",
    [
        "from constants import FACTOR\n",
        "import constants\nFACTOR = constants.FACTOR\n",
        "from constants import *\n",
        "import importlib\nFACTOR = importlib.import_module('constants').FACTOR\n",
        "from importlib import import_module\nFACTOR = import_module('const' + 'ants').FACTOR\n",
        "FACTOR = __import__('const' + 'ants').FACTOR\n",
        "try:\n    from constants import FACTOR\nexcept ImportError:\n    FACTOR = 0.0\n",
        "exec('from constants import FACTOR')\n",
    ],
    ids=lambda text: text.splitlines()[-1],
)
def test_each_file_imports_its_own_neighbours(statement, write, tmp_path):
    for folder, factor in (("a", 2.0), ("b", 10.0)):
        write(
            **{
                f"{folder}__in__functions": f"{statement}\n\ndef f(x):\n    return FACTOR * x\n",
                f"{folder}__in__constants": f"FACTOR = {factor}\n",
            }
        )
    assert [value(f"{folder}/functions.py:f", tmp_path) for folder in "ab"] == [2.0, 10.0]
    write(a__in__constants="FACTOR = 3.0\n")
    assert [value(f"{folder}/functions.py:f", tmp_path) for folder in "ab"] == [3.0, 10.0]


def test_an_import_inside_a_function_is_that_of_its_file(write, tmp_path):
    text = "def f(x):\n    import constants\n    from deeper import MORE\n    return constants.FACTOR * x + MORE\n"
    for folder, factor in (("a", 2.0), ("b", 10.0)):
        write(**{f"{folder}__in__functions": text, f"{folder}__in__constants": f"FACTOR = {factor}\n"})
        write(**{f"{folder}__in__deeper": f"MORE = {factor / 100}\n"})
    functions = [resolve(f"{folder}/functions.py:f", tmp_path) for folder in "ab"]
    assert [f(1.0) for f in functions] == [2.02, 10.1]
    write(a__in__deeper="MORE = 0.5\n")
    assert [f(1.0) for f in functions] == [2.02, 10.1]  # one version all along
    assert value("a/functions.py:f", tmp_path) == 2.5


def test_two_jobs_in_one_process(write, tmp_path):
    for job, factor in (("one", 2.0), ("two", 10.0)):
        write(**{f"{job}__in__functions": FACTOR, f"{job}__in__constants": f"FACTOR = {factor}\n"})
    assert value("functions.py:f", tmp_path / "one") == 2.0
    assert value("functions.py:f", tmp_path / "two") == 10.0
    assert value("functions:f", tmp_path / "two") == 10.0
    assert value("functions:f", tmp_path / "one") == 2.0


def test_what_a_helper_imports_is_renewed_with_it(write, tmp_path):
    write(functions="from middle import g\n\n\ndef f(x):\n    return g(x)\n", apart="class A:\n    pass\n")
    write(middle="from leaf import K\nimport apart\n\n\ndef g(x):\n    return K * x\n", leaf="K = 2.0\n")
    assert value("functions.py:f", tmp_path) == 2.0
    apart = resolve("apart:A", tmp_path)
    write(leaf="K = 3.0\n")
    assert value("functions.py:f", tmp_path) == 3.0
    assert value("functions:f", tmp_path) == 3.0
    assert resolve("apart:A", tmp_path) is apart
    write(leaf="K = 2.0\n")
    assert value("functions.py:f", tmp_path) == 2.0


def test_the_functions_own_folder_comes_before_the_jobs(write, tmp_path):
    write(constants="FACTOR = 10.0\nJOBS = 100.0\n", lib__in__constants="FACTOR = 2.0\n", other="OTHER = 7.0\n")
    write(
        lib__in__functions=FACTOR.replace("* x", "* x + OTHER").replace("\n\n\n", "\nfrom other import OTHER\n\n\n", 1)
    )
    assert value("lib/functions.py:f", tmp_path) == 9.0
    (tmp_path / "lib" / "constants.py").unlink()
    assert value("lib/functions.py:f", tmp_path) == 17.0


def test_a_file_that_is_reached_in_many_ways_is_one_module(write, tmp_path):
    write(shared="COUNT = []\n\n\nclass Params:\n    pass\n", lib__in__g="from shared import Params\n")
    write(functions="import shared\nfrom shared import Params\nfrom lib.g import Params as Same\n")
    write(sub__in__functions="from shared import Params\nimport lib.g\n\nSame = lib.g.Params\n")
    (tmp_path / "linked.py").symlink_to(tmp_path / "shared.py")
    found = [
        resolve(reference, tmp_path)
        for reference in (
            *("functions.py:Params", "functions.py:Same", "functions:Params", "shared.py:Params", "shared:Params"),
            *(
                "lib/g.py:Params",
                "lib.g:Params",
                "sub/functions.py:Params",
                "sub/functions.py:Same",
                "linked.py:Params",
            ),
        )
    ]
    assert all(each is found[0] for each in found)


def test_python_comes_before_neighbours(write, tmp_path):
    write(
        random="raise RuntimeError\n", functions="import random\n\n\ndef f(x):\n    return random.Random(0).random()\n"
    )
    assert 0 < value("functions.py:f", tmp_path) < 1


@pytest.mark.parametrize("name", ["click", "scipy", "jax", "numpy"])
def test_a_neighbour_with_the_name_of_an_installed_package_is_refused_with_both_places(name, write, tmp_path):
    write(**{name: "sqrt = 1\n", "functions": f"import {name}\n\n\ndef f(x):\n    return x\n"})
    for reference in ("functions.py:f", f"{name}:sqrt"):
        with pytest.raises(JobError) as caught:
            resolve(reference, tmp_path)
        assert caught.value.exit_code == ExitCode.REFUSED
        assert str(tmp_path / f"{name}.py") in caught.value.what
        assert (
            os.path.join(sysconfig.get_path("purelib"), name) in caught.value.what
            or "site-packages" in caught.value.what
        )


def test_a_folder_of_data_is_no_rival_of_an_installed_package(write, tmp_path):
    (tmp_path / "scipy").mkdir()
    write(functions="import scipy.special\n\n\ndef f(x):\n    return scipy.special.gamma(x + 4)\n")
    assert value("functions.py:f", tmp_path) == 24.0


def test_packages(write, tmp_path):
    write(
        pkg__in____init__="from .a import A\nfrom . import b\nMADE = []\n",
        pkg__in__a="from pkg.b import B\nA = B + 1\n",
    )
    write(pkg__in__b="import numpy as np\nB = float(np.float64(1))\n", pkg__in__numpy="raise RuntimeError\n")
    write(
        pkg__in__f="from .a import A\nimport pkg\nimport pkg.deep.c\n\n\ndef f(x):\n    return x * A * pkg.deep.c.C\n"
    )
    write(pkg__in__deep__in____init__="", pkg__in__deep__in__c="from ..b import B\nC = 10 * B\n")
    assert value("pkg.f:f", tmp_path) == 20.0
    assert value("pkg/f.py:f", tmp_path) == 20.0
    assert resolve("pkg/f.py:f", tmp_path) is resolve("pkg.f:f", tmp_path)
    before = resolve("pkg:MADE", tmp_path)
    write(pkg__in__b="B = 2.0\n")
    assert value("pkg.f:f", tmp_path) == 60.0
    assert resolve("pkg:MADE", tmp_path) is not before


def test_namespaces(write, tmp_path):
    write(
        space__in__one="ONE = 1.0\n", space__in__deep__in__two="TWO = 2.0\n", space__in__pkg__in____init__="P = 5.0\n"
    )
    write(
        functions="import space.one\nimport space.deep.two as two\nfrom space import pkg, one\n"
        "from space.pkg import P\n\n\ndef f(x):\n    return x * (space.one.ONE + two.TWO + pkg.P + P + one.ONE)\n"
    )
    assert value("functions.py:f", tmp_path) == 14.0
    write(space__in__deep__in__two="TWO = 3.0\n")
    assert value("functions.py:f", tmp_path) == 15.0


def test_modules_that_import_each_other(write, tmp_path):
    write(one="import two\n\nX = 1.0\n\n\ndef f(x):\n    return x + two.Y\n", two="import one\n\nY = 2.0\n")
    assert value("one.py:f", tmp_path) == 3.0
    write(two="import one\n\nY = 5.0\n")
    assert value("one:f", tmp_path) == 6.0


def test_folders_that_a_file_adds_to_the_path_are_its_own(write, tmp_path):
    text = "import os, sys\nsys.path.{how}os.path.join(os.path.dirname(__file__), 'lib'))\nfrom far import K\n"
    for folder, k, how in (("a", 2.0, "insert(0, "), ("b", 10.0, "append("), ("c", 4.0, "append(")):
        code = text.format(how=how) + "\n\ndef f(x):\n    import farther\n    return K * x + farther.M\n"
        write(**{f"{folder}__in__functions": code, f"{folder}__in__lib__in__far": f"K = {k}\n"})
        write(**{f"{folder}__in__lib__in__farther": f"M = {k / 100}\n"})
    before = list(sys.path)
    assert [value(f"{folder}/functions.py:f", tmp_path) for folder in "abc"] == [2.02, 10.1, 4.04]
    write(b__in__lib__in__far="K = 20.0\n")
    assert [value(f"{folder}/functions.py:f", tmp_path) for folder in "abc"] == [2.02, 20.1, 4.04]
    assert sys.path == before


def test_pickled_objects_of_neighbours_can_be_loaded(write, tmp_path):
    write(model="class Params:\n    def __init__(self, k):\n        self.k = k\n")
    write(
        functions="import pathlib, pickle\nfrom model import Params\n\n"
        "PARAMS = pickle.loads((pathlib.Path(__file__).parent / 'w.pkl').read_bytes())\n"
        "assert type(PARAMS) is Params\n\n\ndef f(x):\n    return PARAMS.k * x\n"
    )
    for k in (2.0, 3.0):
        (tmp_path / "w.pkl").write_bytes(b"cmodel\nParams\n)\x81}U\x01kG" + struct.pack(">d", k) + b"sb.")
        assert value("functions.py:f", tmp_path) == k
    assert "model" not in sys.modules


def test_weights_that_were_read_at_import_are_read_again_when_they_changed(write, tmp_path):
    import numpy as np

    write(
        functions="import pathlib\nimport numpy as np\nfrom helper import H\n\n"
        "W = np.load(pathlib.Path(__file__).parent / 'w.npy')\nCOUNT = []\n\n\ndef f(x):\n    return x * W[0] + H\n"
    )
    write(helper="from pathlib import Path\n\nH = float((Path(__file__).parent / 'h.txt').read_text())\n")
    np.save(tmp_path / "w.npy", np.array([2.0]))
    (tmp_path / "h.txt").write_text("0.25")
    assert value("functions.py:f", tmp_path) == 2.25
    again = resolve("functions.py:COUNT", tmp_path)
    assert resolve("functions.py:COUNT", tmp_path) is again
    np.save(tmp_path / "w.npy", np.array([3.0]))
    assert value("functions.py:f", tmp_path) == 3.25
    (tmp_path / "h.txt").write_text("0.50")
    assert value("functions.py:f", tmp_path) == 3.5
    assert resolve("functions.py:COUNT", tmp_path) is not again


def test_weights_of_a_file_that_two_jobs_share(write, tmp_path):
    write(
        lib__in__shared="from pathlib import Path\nfrom factor import K\n\n"
        "W = float((Path(__file__).parent / 'w.txt').read_text())\n\n\ndef f(x):\n    return W * K * x\n"
    )
    write(one__in__factor="K = 1.0\n", two__in__factor="K = 10.0\n")
    for weight in (2.0, 3.0, 4.0):
        (tmp_path / "lib" / "w.txt").write_text(str(weight))
        for job, factor in (("one", 1.0), ("two", 10.0), ("one", 1.0)):
            assert value("../lib/shared.py:f", tmp_path / job) == weight * factor
        (tmp_path / "lib" / "w.txt").write_text(str(weight + 0.5))
        assert value("../lib/shared.py:f", tmp_path / "two") == (weight + 0.5) * 10


def test_all_is_executed_anew_once_it_is_forgotten(write, tmp_path):
    write(functions="from helper import H\n\nMADE = []\n", helper="H = []\n", lazy="def f(x):\n    import helper\n")
    before = [resolve(reference, tmp_path) for reference in ("functions.py:MADE", "functions.py:H", "lazy.py:f")]
    forget()
    after = [resolve(reference, tmp_path) for reference in ("functions.py:MADE", "functions.py:H")]
    assert after[0] is not before[0]
    assert after[1] is not before[1]
    assert resolve("helper:H", tmp_path) is after[1]
    before[2](1.0)


def test_names_that_are_no_identifiers(write, tmp_path):
    (tmp_path / "my-functions.v2.py").write_text("from constants import FACTOR\nf = FACTOR.__mul__\n")
    write(constants="FACTOR = 2.0\n")
    assert value("my-functions.v2.py:f", tmp_path) == 2.0


def test_a_module_is_seen_when_it_is_whole(write, tmp_path):
    write(functions="import time\nimport slow\n\ntime.sleep(0.2)\n\n\ndef f(x):\n    return slow.K * x\n")
    write(slow="import time\n\ntime.sleep(0.2)\nK = 2.0\nRUNS = []\n")
    found: list[object] = []

    def ask() -> None:
        try:
            found.append(value("functions.py:f", tmp_path))
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2.0] * 6


def test_a_module_of_the_callers_is_not_taken_for_a_neighbour(write, tmp_path, monkeypatch):
    write(notebook__in__constants="FACTOR = 77.0\n", job__in__functions=FACTOR, job__in__constants="FACTOR = 2.0\n")
    monkeypatch.syspath_prepend(tmp_path / "notebook")
    import constants  # pyright: ignore[reportMissingImports]

    try:
        assert value("functions.py:f", tmp_path / "job") == 2.0
        assert sys.modules["constants"] is constants
    finally:
        del sys.modules["constants"]


def test_messages_call_modules_as_the_user_does(write, tmp_path):
    write(
        functions="from constants import FACTR\n", constants="FACTOR = 1\n", pkg__in____init__="from . import absent\n"
    )
    for reference, said in (
        ("functions.py:f", "cannot import name 'FACTR' from 'constants'"),
        ("pkg:f", "cannot import name 'absent' from"),
    ):
        with pytest.raises(JobError) as caught:
            resolve(reference, tmp_path)
        assert said in caught.value.what
        assert "_jaxbatch_" not in caught.value.what


def test_a_link_to_a_file_imports_what_is_beside_the_link(write, tmp_path):
    write(common__in__functions=FACTOR, common__in__constants="FACTOR = 5.0\n", a__in__constants="FACTOR = 2.0\n")
    write(b__in__constants="FACTOR = 10.0\n", c__in__nothing="")
    for folder in "abc":
        (tmp_path / folder / "functions.py").symlink_to(tmp_path / "common" / "functions.py")
    assert [value(f"{folder}/functions.py:f", tmp_path) for folder in "abc"] == [2.0, 10.0, 5.0]
