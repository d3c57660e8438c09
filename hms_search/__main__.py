"""``python -m hms_search`` is ``hms-search``."""

from hms_search.cli import main
from hms_search.host_memory import collect_rarely, leave_quickly
from hms_search.host_processors import wait_briefly


def process() -> None:
    """Run the command line as a process of its own."""
    collect_rarely()
    wait_briefly()
    leave_quickly(main)


if __name__ == "__main__":
    process()
