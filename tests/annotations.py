"""Annotations of the numerical packages are checked at run time: those of arrays by jaxtyping, all others by beartype.

jaxtyping binds the names of dimensions in every call, which takes longer than tracing what is in it. So it is given
only the modules that annotate arrays.
"""

from pathlib import Path

from beartype import BeartypeConf, BeartypeDecorPlace
from beartype.claw import beartype_packages
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent
PACKAGES = ("jaxbatch.least_squares", "jaxbatch.series")


def check_annotations() -> None:
    """Check those of the modules that are imported from now on."""
    innermost = BeartypeConf(claw_decor_place_func=BeartypeDecorPlace.FIRST, claw_is_pep526=False)
    beartype_packages(PACKAGES, conf=innermost)
    install_import_hook(modules_with_arrays(), "beartype.beartype")


def modules_with_arrays() -> list[str]:
    """The names of the modules that import jaxtyping."""
    files = [file for package in PACKAGES for file in (ROOT / package.replace(".", "/")).rglob("*.py")]
    found = [file.relative_to(ROOT).with_suffix("") for file in files if "from jaxtyping import" in file.read_text()]
    return [".".join(path.parts) for path in sorted(found)]
