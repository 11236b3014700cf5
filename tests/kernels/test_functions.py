"""The user's functions: found by name, their arguments bound to constants, columns and defaults."""

import importlib
import math
import sys
from pathlib import Path

import pytest

from jaxbatch.errors import ExitCode, JobError
from jaxbatch.kernels.functions import bind, bind_one, resolve


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module into the job's folder, which leaves ``sys.path`` again after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()

    def write(text: str, name: str = "functions.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    yield write
    for name, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def refusal(call, *arguments) -> str:
    """The message of the JobError that a call raises."""
    with pytest.raises(JobError) as caught:
        call(*arguments)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


def test_resolves_modules_files_and_attributes(module, tmp_path):
    module("def double(x): return 2 * x\nclass A:\n    @staticmethod\n    def b(x): return -x\n")
    assert resolve("math:sqrt", tmp_path) is math.sqrt
    assert resolve("os.path:join", tmp_path)("a", "b") == "a/b"
    assert resolve("functions.py:double", tmp_path)(4) == 8
    assert resolve("functions.py:A.b", tmp_path)(4) == -4


def test_modules_beside_the_job_are_importable(module, tmp_path):
    module("FACTOR = 3\n", "helpers_of_the_job.py")
    module("from helpers_of_the_job import FACTOR\ndef f(x): return FACTOR * x\n")
    assert resolve("functions.py:f", tmp_path)(2) == 6
    assert resolve("helpers_of_the_job:FACTOR", tmp_path) == 3


def test_modules_beside_a_file_elsewhere_are_importable(module, tmp_path):
    module("FACTOR = 5\n", "lib/helpers_elsewhere.py")
    module("from helpers_elsewhere import FACTOR\ndef f(x): return FACTOR * x\n", "lib/functions.py")
    assert resolve("lib/functions.py:f", tmp_path)(2) == 10


def test_nothing_beside_the_job_hides_an_installed_module(module, tmp_path):
    module("sqrt = 'hidden'\n", "colorsys.py")
    assert callable(resolve("colorsys:rgb_to_hsv", tmp_path))


def test_files_of_one_name_are_told_apart(module, tmp_path):
    module("def f(): return 1\n", "a/functions.py")
    module("def f(): return 2\n", "b/functions.py")
    assert [resolve(f"{folder}/functions.py:f", tmp_path)() for folder in "ab"] == [1, 2]


@pytest.mark.parametrize("reference", ["sqrt", "math:", ":sqrt", ""])
def test_reference_without_a_name(reference, tmp_path):
    assert '"package.module:name"' in refusal(resolve, reference, tmp_path)


def test_misspelt_name(module, tmp_path):
    module("".join(f"def f{i}(x): return x\n" for i in range(20)) + "def payoff(x): return x\n")
    assert "Did you mean 'payoff'?" in refusal(resolve, "functions.py:payof", tmp_path)
    assert "Did you mean 'sqrt'?" in refusal(resolve, "jax.numpy:sqrtt", tmp_path)


def test_no_such_file_or_module(tmp_path):
    assert str(tmp_path / "absent.py") in refusal(resolve, "absent.py:f", tmp_path)
    assert "No module named 'absent_module'" in refusal(resolve, "absent_module:f", tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import absent_module\n", "ModuleNotFoundError: No module named 'absent_module'"),
        ("def f(x:\n", "SyntaxError"),
        ("raise ValueError('first\\nsecond')\n", "ValueError: first"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
    ],
)
def test_failed_import_is_one_line(module, tmp_path, text, reason):
    for reference in (f"{module(text)}:f", f"{module(text, 'fails_to_import.py').removesuffix('.py')}:f"):
        first, again = refusal(resolve, reference, tmp_path), refusal(resolve, reference, tmp_path)
        assert again == first
        lines = first.splitlines()
        assert reason in lines[0]
        assert reference in lines[0]
        assert len(lines) == 2


def test_constants_before_columns_before_defaults(module, tmp_path):
    module("def f(a, b=10, c=100, d=1000): return (a, b, c, d)\n")
    bound = bind("functions.py:f", tmp_path, ["d", "a", "b"], {"b": 20, "unrelated": 1})
    assert bound.columns == ("a", "d")
    assert bound.constants == {"b": 20, "c": 100}
    assert bound({"a": 1, "d": 4}) == (1, 20, 100, 4)
    assert bound({"a": 1, "d": 4, "c": 3}) == (1, 20, 3, 4)


def test_arguments_by_position_and_by_name_only(module, tmp_path):
    module("def f(a, b, /, c, *, d, **rest): return (a, b, c, d, rest)\n")
    bound = bind("functions.py:f", tmp_path, ["d", "c", "b"], {"a": 1})
    assert bound.columns == ("b", "c", "d")
    assert bound({"d": 4, "c": 3, "b": 2}) == (1, 2, 3, 4, {})


def test_jax_functions_take_their_arguments_by_position(tmp_path):
    assert bind("jax.numpy:sqrt", tmp_path, ["x"], {})({"x": 9.0}) == 3.0


def test_missing_argument(module, tmp_path):
    module("def f(spot, vol): return spot\n")
    message = refusal(bind, "functions.py:f", tmp_path, ["spot"], {})
    assert "'vol' has neither a column nor a constant" in message
    assert "columns = { vol =" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(*xs): return xs\n", "*xs"),
        ("f = 3\n", "not a function"),
        ("f = dict\n", "does not declare its arguments"),
    ],
)
def test_not_a_function_of_named_arguments(module, tmp_path, text, said):
    module(text)
    assert said in refusal(bind, "functions.py:f", tmp_path, ["x"], {})


def test_one_argument(module, tmp_path):
    module("def f(rate, x, shift=0.5): return rate * x + shift\ndef g(x=1.0, y=2.0): return x - y\n")
    bound = bind_one("functions.py:f", tmp_path, {"rate": 3.0})
    assert bound.columns == ("x",)
    assert bound({"x": 2.0}) == 6.5
    assert bind_one("functions.py:g", tmp_path, {}).columns == ("x",)
    assert "2 free arguments (rate, x)" in refusal(bind_one, "functions.py:f", tmp_path, {})
    assert "0 free arguments" in refusal(bind_one, "functions.py:f", tmp_path, {"rate": 1, "x": 2, "shift": 3})
