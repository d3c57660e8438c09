"""Which source files a trained model needs to predict: what some modules import, found without importing them."""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hms_search.errors import CheckpointError

PACKAGE = "hms_search"
ENTRIES = ("hms_search.inference.predictor", "hms_search.inference.submission", "hms_search.inference.pyfunc")
"""The modules that a bundle's ``predict.py`` and MLflow call."""
LIBRARIES = frozenset(
    {
        *("torch", "torchvision", "timm", "numpy", "pandas", "pyarrow"),
        *("safetensors", "huggingface_hub"),  # timm installs them
        *("einops", "jaxtyping"),  # carried along
    }
)
"""What a bundle may import besides the standard library and itself."""
OPTIONAL = frozenset({"braindecode"})
"""What one kind of model imports when it is built; such a model is not exported."""
BUNDLED = Path(__file__).parent / "bundled"
STAND_INS = {"hms_search.component": BUNDLED / "component.py"}
"""Files that take a module's place in a bundle."""

_ROOT = Path(__file__).parents[1]


def source_files(entries: Sequence[str] = ENTRIES) -> dict[str, Path]:
    """Return the source files of the modules and of all they import within the package, by their path in it.

    Imports inside functions count too, those for type checkers only do not.

    Raises
    ------
    CheckpointError
        Where one of them imports a library that a bundle cannot rely on; every such import is listed.
    """
    found: dict[str, Path] = {}
    faults: list[str] = []
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        origin = _file_of(module)
        if origin is None:
            raise CheckpointError(f"cannot bundle {module}: expected its source file in {_ROOT}, found none")
        name = origin.relative_to(_ROOT).as_posix()
        if name in found:
            continue
        found[name] = STAND_INS.get(module, origin)
        for imported in _imports(found[name]):
            if imported.partition(".")[0] != PACKAGE:
                faults += _outside(imported, name)
            elif _file_of(imported) is not None:
                waiting.append(imported)
    if faults:
        raise CheckpointError(
            f"a bundle may import {', '.join(sorted(LIBRARIES))} only, found: {'; '.join(sorted(set(faults)))}; "
            "move these imports out of what predicts"
        )
    return dict(sorted(found.items()))


def _outside(imported: str, name: str) -> list[str]:
    library = imported.partition(".")[0]
    return [] if library in sys.stdlib_module_names | LIBRARIES | OPTIONAL else [f"{name} imports {library}"]


def _file_of(module: str) -> Path | None:
    """Return the source of a module of the package, None where the name is no module but something in one."""
    path = _ROOT.joinpath(*module.split(".")[1:])
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _imports(file: Path) -> Iterator[str]:
    """Yield each name a file imports, ``a.b.c`` for ``from a.b import c``, and the packages on the way to it."""
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
