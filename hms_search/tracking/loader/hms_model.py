"""Goes with every registered model and loads it: by the installed hms_search, else by the code the model carries."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _load_pyfunc(path: str) -> Any:
    installed = find_spec("hms_search")
    if installed is None or installed.origin is None:  # a mere folder of that name has no origin
        sys.path += [str(Path(path) / "code"), str(Path(path) / "vendor")]
    from hms_search.inference.pyfunc import _load_pyfunc as load

    return load(path)
