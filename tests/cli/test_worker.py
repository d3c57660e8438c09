"""``hms-search worker``: what of a study is this machine's."""

import pytest

from hms_search.cli.worker import OfThisMachine

STORED = {
    "name": "small",
    "data": {"root": "/theirs", "sampling": {"name": "label"}},
    "executor": {"name": "ray"},
    "workers": 8,
    "timeout_s": 600.0,
    "device": "cuda",
}


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_a_timeout_is_a_sessions_own(timeout_s: float | None) -> None:
    found = OfThisMachine(timeout_s=timeout_s).put_into(STORED)
    assert found == {**STORED, "executor": {"name": "local"}, "timeout_s": timeout_s}


def test_what_is_given_is_this_machines() -> None:
    found = OfThisMachine(data="/mine", workers=1, device="cpu").put_into(STORED)
    own = {"executor": {"name": "local"}, "workers": 1, "timeout_s": None, "device": "cpu"}
    assert found == {**STORED, **own, "data": {"root": "/mine", "sampling": {"name": "label"}}}
