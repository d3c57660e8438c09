"""The section about the rounds of a search: why each one's bounds are where they are."""

from hms_search.search.lineage import COLUMNS, FOLLOWS, lineage_rows
from hms_search.search.report import StudyReport
from hms_search.search.report_page.page import Block, Section, Table, Words


def round_in_words(report: StudyReport) -> str:
    """Return which round of its search a study is."""
    names = list(report.rounds)
    return f"This is round {names.index(report.name) + 1} of {len(names)} of the search {names[0]}"


def rounds_section(report: StudyReport) -> Section:
    """Return what became of each parameter before each round of the search, and why."""
    blocks: list[Block] = [Words(f"{round_in_words(report)}. {_HOW_TO_READ}")]
    for number, (study, changes) in enumerate(report.rounds.items(), start=1):
        this = " (this one)" if study == report.name else ""
        if changes:
            moved = sum(change.kind != "kept" for change in changes)
            counted = f"{moved} of {len(changes)} parameters moved, by what {changes[0].trials} trials say"
            caption = f"Round {number}, study {study}{this}: {FOLLOWS}; {counted}."
            blocks.append(Table(caption, COLUMNS, lineage_rows(changes)))
        elif number > 1:
            blocks.append(Words(f"Round {number}, study {study}{this}: no parameter was left to move."))
    return Section("Rounds", blocks)


_HOW_TO_READ = (
    "Each later round is a study of its own, in the space that the trials before it leave: a range goes to where the "
    "best of them lie, and past a bound that the best one lies on; a choice that is worse beyond chance is dropped; a "
    "parameter without effect is frozen at the best trial's value. It starts with the earlier trials that still fit."
)
