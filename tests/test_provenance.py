"""Versions and the commit that a result was made with."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from hms_search.provenance import UNKNOWN_COMMIT, git_commit, versions


def git(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_commit_is_named_and_marked_dirty_once_a_tracked_file_changes(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    code = tmp_path / "code.py"
    code.write_text("1")
    assert git_commit(code) == UNKNOWN_COMMIT
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "one", "--no-gpg-sign")
    git(tmp_path, "tag", "v1")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(code) == head
    (tmp_path / "notes.txt").write_text("not tracked")
    assert git_commit(code) == head
    code.write_text("2")
    assert git_commit(code) == f"{head}-dirty"


def test_a_file_outside_git_has_no_commit(tmp_path: Path) -> None:
    installed = tmp_path / "code.py"
    installed.write_text("1")
    assert git_commit(installed) == UNKNOWN_COMMIT
    assert git_commit(tmp_path / "missing" / "code.py") == UNKNOWN_COMMIT


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["torch"] == version("torch")
    assert found["hms_search"] == version("hms-search")
    assert {"python", "timm", "optuna", "mlflow"} <= set(found)


def test_versions_are_read_without_importing_anything_heavy() -> None:
    check = (
        "import sys; from hms_search.provenance import versions; versions(); "
        "sys.exit(bool({'torch', 'mlflow', 'optuna'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
