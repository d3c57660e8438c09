import gc
import subprocess
import sys

import pytest

from hms_search.host_memory import collecting_never

COUNTED = """
import resource, sys
import numpy as np
from hms_search.host_memory import keep_freed_memory, return_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1])

if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(2**23)
before = faults()
for _ in range(4):
    np.ones(2**23)
again = faults() - before
kept = resident()
return_freed_memory()
print(again, kept - resident())
"""
PAGES = 2**23 * 8 // 4096
"""Of one of the arrays; the system may hand out 512 at once."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
@pytest.mark.parametrize("mode", ["keep", "leave"])
def test_kept_memory_is_used_again_without_asking_the_system_and_can_be_returned(mode: str) -> None:
    ran = subprocess.run([sys.executable, "-c", COUNTED, mode], capture_output=True, text=True, check=True)
    again, returned = map(int, ran.stdout.split())
    if mode == "keep":
        assert again < PAGES / 512
        assert returned > PAGES / 2
    else:  # how it is otherwise: were it the same, the setting would do nothing
        assert again > 4 * PAGES / 512 - 1
        assert returned < PAGES / 2


def test_reference_cycles_are_looked_for_again_after_a_command_that_fails() -> None:
    def command() -> None:
        with collecting_never():
            assert not gc.isenabled()
            raise ValueError("the command's own")

    with pytest.raises(ValueError, match="command"):
        command()
    assert gc.isenabled()


def test_what_a_command_made_is_not_looked_through_at_its_end() -> None:
    kept: list[list[int]] = []
    seen: list[dict[str, int]] = []

    def note(phase: str, info: dict[str, int]) -> None:
        seen.append(info)

    gc.callbacks.append(note)
    try:
        with collecting_never():
            kept += [[] for _ in range(100_000)]
        kept.append([])
        assert not seen
        gc.collect()  # it is looked through when all else is
        assert seen
    finally:
        gc.callbacks.remove(note)
