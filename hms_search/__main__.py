"""``python -m hms_search`` is ``hms-search``."""

from hms_search.cli import main

if __name__ == "__main__":
    main()
