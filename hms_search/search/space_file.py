"""A space as a YAML file to edit and run by hand, with the reason of each change as a comment."""

import textwrap
from collections.abc import Mapping, Sequence

from hms_search.document import dump_yaml
from hms_search.search.lineage import Change
from hms_search.search.narrowing import Narrowed
from hms_search.search.space import SearchSpace

_WIDTH = 110


def narrowed_text(narrowed: Narrowed, *, origin: str) -> str:
    """Return the YAML of a narrowed space; ``origin`` says in a few words which trials it follows from."""
    remarks = {change.path: _remark(change) for change in narrowed.changes}
    return space_text(narrowed.space, header=f"Narrowed from {origin}; the base is the best trial.", remarks=remarks)


def space_text(space: SearchSpace, *, header: str, remarks: Mapping[str, str]) -> str:
    """Return the YAML of a space, a comment above each parameter; remarks on paths it does not vary come last."""
    content = space.to_dict()
    gone = [path for path in remarks if path not in space.parameters]
    parts = [
        _comment(header),
        dump_yaml({key: content[key] for key in ("name", "description", "base")}),
        "parameters:\n",
    ]
    for path, parameter in space.parameters.items():
        written = dump_yaml({path: parameter.model_dump(mode="json", exclude_defaults=True)})
        parts += [_comment(remarks.get(path, ""), indent="  "), textwrap.indent(written, "  ")]
    parts += [_comment(f"{path}: {remarks[path]}", indent="  ") for path in gone]
    return "".join(parts)


def _remark(change: Change) -> str:
    moved = f"{change.kind} from {change.before}" if change.kind != "kept" else "kept"
    return f"{moved}: {change.reason} ({change.trials} trials)"


def _comment(text: str, indent: str = "") -> str:
    lines: Sequence[str] = textwrap.wrap(text, _WIDTH)
    return "".join(f"{indent}# {line}\n" for line in lines)
