"""The command line: thin commands over the library, and what a person sees while they run."""

from hms_search.cli.app import main

__all__ = ["main"]
