"""How the user's modules are executed, and what ``import`` means in them."""

import builtins
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from jaxbatch.errors import JobError
from jaxbatch.user_code.lookup import Place, is_standard
from jaxbatch.user_code.modules import UserModule, by_name, load_from
from jaxbatch.user_code.opened import record_opened, recording_paused
from jaxbatch.user_code.source import above

_Found = tuple[tuple[Place, ...], UserModule | None]
"""The place of each part of a dotted name, and the module that it means: empty and None if it is not a user's."""


class _Execution(threading.local):
    """The state of a thread while it executes a user's module, and the modules that this imports.

    Folders that a module adds to ``sys.path`` are remembered for it and removed afterwards: otherwise the second job's
    imports would be looked for in the first job's ``lib``.
    """

    def __init__(self) -> None:
        self._paths: list[list[str]] = []
        """``sys.path`` before each module that is being executed, the outermost first."""
        self._hidden: dict[str, ModuleType | None] = {}
        """What ``sys.modules`` had under the modules' plain names before."""

    @contextmanager
    def executing(self, owner: UserModule) -> Iterator[None]:
        """Execute a module: record which files it reads, and which folders it adds to ``sys.path``."""
        import jax

        self._paths.append(list(sys.path))
        try:
            with record_opened(owner.opened), jax.enable_x64(owner.x64):
                yield
        finally:
            self.note_folders(owner)
            before = self._paths.pop()
            if not self._paths:
                sys.path[:] = [path for path in sys.path if path in before]
                self._hide()

    @contextmanager
    def importing_others(self) -> Iterator[None]:
        """Import a module that is not the user's: folders that it adds to ``sys.path`` stay there."""
        before = list(sys.path)
        with recording_paused():
            yield
        for paths in self._paths:
            paths += [path for path in sys.path if path not in before]

    def note_folders(self, owner: UserModule) -> None:
        """Remember the folders that the module which is being executed has added to ``sys.path`` so far."""
        before = self._paths[-1] if self._paths else sys.path
        start = next((place for place, path in enumerate(sys.path) if path in before), 0)
        first, last = (
            [Path(path) for path in part if path not in before] for part in (sys.path[:start], sys.path[start:])
        )
        owner.first = tuple(dict.fromkeys([*first, *owner.first]))
        owner.last = tuple(dict.fromkeys([*owner.last, *last]))

    def expose_plain_name(self, name: str, module: ModuleType) -> None:
        """Have ``sys.modules`` give a module by its plain name meanwhile, which unpickling its classes needs."""
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
    """``__import__`` and ``importlib.import_module`` for one file of a user's module."""

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
        fromlist = fromlist or ()
        if level and not self._owner.source.package:
            return self._relative(name, fromlist, above(self._file, level))
        places = () if level else self._find(name)[0]
        if places and places[-1].kind != "binary":
            return self._neighbour(name, fromlist, self._file.parent)
        if places:
            return _import_binary(places[-1].path, name, fromlist)
        _execution.note_folders(self._owner)
        with _execution.importing_others():
            found = builtins.__import__(name, globals, locals, fromlist, level)
        return self._own(found)

    def _relative(self, name: str, fromlist: Sequence[str], folder: Path) -> ModuleType:
        """A relative import in a file that lies in no package: of what lies beside it, as in a namespace."""
        if name and self._find(name, folder)[0]:
            return self._neighbour(name, fromlist or (name.rpartition(".")[2],), folder)
        space = ModuleType(folder.name)
        for each in fromlist if not name else ():
            if self._find(each, folder)[0]:
                setattr(space, each, self._module(each, folder))
        if name or not all(hasattr(space, each) for each in fromlist):
            raise ImportError(
                f"{self._file.name} lies in no package, and {folder} has no such module: {name or fromlist}"
            )
        return space

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """See :func:`importlib.import_module`."""
        if name.startswith("."):
            return importlib.import_module(name, package)
        return self(name, fromlist=("__name__",))

    def find_spec(self, name: str, package: str | None = None) -> ModuleSpec | None:
        """See :func:`importlib.util.find_spec`."""
        places, target = ((), None) if name.startswith(".") else self._find(name)
        if target is not None:
            name = ".".join([target.name, *name.split(".")[len(places) :]])
        return importlib.util.find_spec(name, package)

    def _own(self, module: ModuleType) -> ModuleType:
        """A module; for ``importlib`` and ``importlib.util`` a copy that imports as this file does."""
        if module not in (importlib, importlib.util):
            return module
        own = ModuleType(module.__name__, module.__doc__)
        own.__dict__.update(vars(module))
        if module is importlib:
            own.__dict__.update(__import__=self, import_module=self.import_module, util=self._own(importlib.util))
        else:
            own.__dict__.update(find_spec=self.find_spec)
        return own

    def _find(self, name: str, folder: Path | None = None) -> _Found:
        """What a name means: as its import statement was read, or else as the files are now.

        Raises:
            JobError: an installed package has the name too.
        """
        owner, folder, depth = self._owner, folder or self._file.parent, name.count(".") + 1
        _execution.note_folders(owner)
        if not owner.first:
            for (asker, known), (places, target) in owner.imports.items():
                if asker == folder and f"{known}.".startswith(f"{name}."):
                    return places[:depth], target if len(places) <= depth else None
        if (known := owner.dynamic.get((folder, name))) is not None:
            return known
        if is_standard(name.partition(".")[0]):
            return (), None
        places = owner.find(folder, name)
        if not places or places[-1].kind not in ("file", "package"):
            owner.dynamic.setdefault((folder, name), None)
            return places, None
        found = owner.dynamic[folder, name] = places, load_from(places[-1], owner.further)
        return found

    def _neighbour(self, name: str, fromlist: Sequence[str], folder: Path) -> ModuleType:
        parts = name.split(".")
        modules = [self._module(".".join(parts[: depth + 1]), folder) for depth in range(len(parts))]
        for parent, part, child in zip(modules, parts[1:], modules[1:], strict=False):
            setattr(parent, part, child)
        if not fromlist:
            return modules[0]
        leaf = modules[-1]
        if leaf in self._spaces.values():
            for each in fromlist:
                if self._find(f"{name}.{each}", folder)[0]:
                    setattr(leaf, each, self._module(f"{name}.{each}", folder))
            return leaf
        return builtins.__import__(leaf.__name__, fromlist=fromlist)

    def _module(self, name: str, folder: Path) -> ModuleType:
        """The user's module of a dotted name."""
        places, target = self._find(name, folder)
        if target is None:
            path = places[-1].path
            module = self._spaces.setdefault(path, ModuleType(name))
            module.__path__ = [str(path)]
        else:
            module = target.module(name.split(".")[len(places) :])
            self._owner.take_folders(target)
        _execution.expose_plain_name(name, module)
        return module


def _import_binary(path: Path, name: str, fromlist: Sequence[str]) -> ModuleType:
    """A compiled module beside a user's file. Its name is compiled into it, so a process can have only one of a name.

    Raises:
        JobError: the process has another of this name.
    """
    sys.path.insert(0, str(path.parent))
    try:
        module = builtins.__import__(name, fromlist=fromlist)
    finally:
        sys.path.remove(str(path.parent))
    loaded = getattr(sys.modules[name.partition(".")[0]], "__file__", None)
    if loaded is None or Path(loaded).resolve() != path.resolve():
        raise JobError(
            f"{path} cannot be imported: this process has already loaded {loaded} of the same name.",
            "Rename it, or run the two jobs in separate processes.",
        )
    return module


class _Loader(SourceFileLoader):
    """Executes a file as it was read, never from bytecode that Python keeps of an earlier version."""

    def __init__(self, fullname: str, path: Path, owner: UserModule):
        super().__init__(fullname, str(path))
        self._file, self._owner = path, owner

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return compile(self._owner.source.files[self._file], str(self._file), "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        importer = _Importer(self._owner, self._file)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": importer}
        with _execution.executing(self._owner):
            super().exec_module(module)


class _Finder:
    """Finds the user's modules by their names in ``sys.modules``, and those inside them."""

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
