"""How the user's modules are executed, and what ``import`` means in them."""

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from jaxbatch.errors import JobError
from jaxbatch.user_code.graph import neighbour
from jaxbatch.user_code.lookup import Place
from jaxbatch.user_code.modules import UserModule, by_name, load_from, lock
from jaxbatch.user_code.opened import opened_files, stamp

_Found = tuple[tuple[Place, ...], UserModule | None]
"""The places on the way of a dotted name, and the module at its end; none where the name is not the user's."""


class _Execution:
    """What holds while a user's module is executed, and with it those that it imports."""

    def __init__(self) -> None:
        self._paths: list[list[str]] = []
        """``sys.path`` before each of them."""
        self._hidden: dict[str, ModuleType | None] = {}
        """What the plain names of their modules stood for before."""

    @contextmanager
    def of(self, owner: UserModule) -> Iterator[None]:
        """Execute a module: what it reads is noted, and folders that it adds to ``sys.path`` are its own."""
        self._paths.append(list(sys.path))
        with opened_files() as opened:
            try:
                yield
            finally:
                owner.further = [*owner.further, *self.added()]
                sys.path[:] = self._paths.pop()
                owner.opened.update({path: stamp(path) for path in opened})
                if not self._paths:
                    self._hide()

    def added(self) -> list[Path]:
        """The folders that were added to ``sys.path`` by the module that is executed."""
        return [Path(path) for path in sys.path if path not in self._paths[-1]] if self._paths else []

    def show(self, name: str, module: ModuleType) -> None:
        """Let others than import statements find a module by its plain name meanwhile, as pickled classes do."""
        if self._paths:
            self._hidden.setdefault(name, sys.modules.get(name))
            sys.modules[name] = module

    def _hide(self) -> None:
        for name, before in self._hidden.items():
            if before is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = before
        self._hidden.clear()


_execution = _Execution()


class _Importer:
    """``__import__`` and ``importlib.import_module`` as one file of a user's module has them."""

    def __init__(self, owner: UserModule, file: Path):
        self._owner, self._file = owner, file
        self._spaces: dict[Path, ModuleType] = {}

    def __call__(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        with lock:
            places = () if level else self._find(name)[0]
            if places and places[-1].kind != "binary":
                return self._neighbour(name, fromlist or ())
            if places:
                return _import_binary(places[-1].path, name, fromlist or ())
            found = builtins.__import__(name, globals, locals, fromlist or (), level)
            return self._importlib() if found is importlib else found

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """See :func:`importlib.import_module`."""
        if not name.startswith("."):
            return self(name, fromlist=("__name__",))
        with lock:
            return importlib.import_module(name, package)

    def _importlib(self) -> ModuleType:
        """``importlib`` with this file's own ``import_module``."""
        module = ModuleType("importlib", importlib.__doc__)
        module.__dict__.update({**vars(importlib), "import_module": self.import_module})
        return module

    def _find(self, name: str) -> _Found:
        """What a name stands for: by the import statements as they were read, or else as it is now.

        Raises:
            JobError: an installed package has the name too.
        """
        owner, folder, depth = self._owner, self._file.parent, name.count(".") + 1
        for (asker, known), (places, target) in owner.imports.items():
            if asker == folder and f"{known}.".startswith(f"{name}."):
                return places[:depth], target if len(places) <= depth else None
        if (folder, name) in owner.dynamic:
            target = owner.dynamic[folder, name]
            return (target.source.place,), target
        further = [*owner.further, *_execution.added()]
        folders = owner.source.beside(folder, further)
        places = neighbour(name, folders, asker=str(self._file), package=owner.source.package)
        if not places or places[-1].kind not in ("file", "package"):
            return places, None
        target = owner.dynamic[folder, name] = load_from(places[-1], further)
        return places, target

    def _neighbour(self, name: str, fromlist: Sequence[str]) -> ModuleType:
        parts = name.split(".")
        modules = [self._module(".".join(parts[: depth + 1])) for depth in range(len(parts))]
        for parent, part, child in zip(modules, parts[1:], modules[1:], strict=False):
            setattr(parent, part, child)
        if not fromlist:
            return modules[0]
        leaf = modules[-1]
        if leaf in self._spaces.values():
            for each in fromlist:
                if self._find(f"{name}.{each}")[0]:
                    setattr(leaf, each, self._module(f"{name}.{each}"))
            return leaf
        return builtins.__import__(leaf.__name__, fromlist=fromlist)

    def _module(self, name: str) -> ModuleType:
        """The module of a dotted name, which is the user's."""
        places, target = self._find(name)
        if target is None:
            path = places[-1].path
            module = self._spaces.setdefault(path, ModuleType(name))
            module.__path__ = [str(path)]
        else:
            below = name.split(".")[len(places) :]
            module = importlib.import_module(".".join([target.name, *below]))
        _execution.show(name, module)
        return module


def _import_binary(path: Path, name: str, fromlist: Sequence[str]) -> ModuleType:
    """A compiled module beside a user's file. Its name is compiled into it, so a process can have one of each name.

    Raises:
        JobError: it has another.
    """
    sys.path.insert(0, str(path.parent))
    try:
        module = builtins.__import__(name, fromlist=fromlist)
    finally:
        sys.path.remove(str(path.parent))
    loaded = getattr(sys.modules[name.partition(".")[0]], "__file__", None)
    if loaded is None or Path(loaded).resolve() != path.resolve():
        raise JobError(
            f"{path} cannot be imported: this process has {loaded} of the same name.",
            "Rename it, or run the two jobs in processes of their own.",
        )
    return module


class _Loader(SourceFileLoader):
    """Executes a file as it was read, never by what Python keeps of an earlier version."""

    def __init__(self, fullname: str, path: Path, owner: UserModule):
        super().__init__(fullname, str(path))
        self._file, self._owner = path, owner

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return compile(self._owner.source.files[self._file], str(self._file), "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        importer = _Importer(self._owner, self._file)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": importer}
        with _execution.of(self._owner):
            super().exec_module(module)


class _Finder:
    """Finds the modules that have a name of ours, and those inside them."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        del target
        top, *below = fullname.split(".")
        owner = by_name.get(top)
        if owner is None:
            return None
        place = owner.source.place
        if place.kind == "file":
            return None if below else _spec(fullname, place.path, owner)
        folder = place.path.joinpath(*below)
        for file in (folder / "__init__.py", folder.parent / f"{folder.name}.py"):
            if file in owner.source.files and (below or file.name == "__init__.py"):
                return _spec(fullname, file, owner)
        found = PathFinder.find_spec(fullname, path)
        return None if found and isinstance(found.loader, SourceFileLoader) else found


def _spec(fullname: str, file: Path, owner: UserModule) -> ModuleSpec | None:
    folders = [str(file.parent)] if file.name == "__init__.py" and owner.source.package else None
    loader = _Loader(fullname, file, owner)
    return importlib.util.spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=folders)


sys.meta_path.insert(0, _Finder)
