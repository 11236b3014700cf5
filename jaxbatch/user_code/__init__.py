"""The user's own modules: those beside a function's file, or in the job's folder.

This wing decides which file an import in them means, when a module is executed again, and what of it belongs to a
run's identity. What a function is, and how its arguments get their values, does not belong here: see
``kernels/functions.py``. Begin with :func:`load_file` and :func:`load_name`; ``graph.py`` has the rule for names.
"""

import importlib
from pathlib import Path
from types import ModuleType

from jaxbatch.user_code import importing as importing  # which registers the finder of user modules
from jaxbatch.user_code.graph import neighbour
from jaxbatch.user_code.identity import code_identity
from jaxbatch.user_code.lookup import Place
from jaxbatch.user_code.modules import folders_of, forget, load, with_plain_names
from jaxbatch.user_code.source import without_layout

__all__ = ["code_identity", "forget", "load_file", "load_name", "with_plain_names", "without_layout"]


def load_file(path: Path, folder: Path) -> ModuleType:
    """The module of a file. If the file lies in a package inside the job's ``folder``, it is that package's module.

    Raises:
        OSError: the file cannot be read.
        BaseException: whatever executing it raises.
    """
    package, below = path.parent, [path.stem]
    while (package / "__init__.py").is_file() and folder in package.parents:
        package, below = package.parent, [package.name, *below]
    if len(below) > 1:
        return load(Place(package / below[0], "package"), folder).module(below[1:])
    return load(Place(path, "file"), folder).module()


def load_name(name: str, folder: Path) -> ModuleType:
    """The module of a dotted name, from the job's ``folder`` or else an installed package.

    Raises:
        JobError: both the folder and an installed package have the name.
        BaseException: whatever executing it raises.
    """
    places = neighbour(name, folders_of(folder), asker="The job")
    if not places or places[-1].kind not in ("file", "package"):
        return importlib.import_module(name)
    return load(places[-1], folder).module(name.split(".")[len(places) :])
