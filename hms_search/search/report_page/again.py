"""The section about trials that were run again: what survives another seed, and what of the best was luck."""

from hms_search.search.repeated_words import COLUMNS, again_in_words, again_rows, verdicts
from hms_search.search.report import StudyReport
from hms_search.search.report_page.page import Block, Section, Table, Words


def again_section(report: StudyReport) -> Section:
    """Return what was found under other seeds and on other folds, or which commands would tell."""
    blocks: list[Block] = []
    best = None if report.best is None else report.best.number
    for found in (report.noise, report.recheck):
        if found is not None:
            blocks.append(Table(f"{again_in_words(found, report.task)}.", COLUMNS, again_rows(found)))
            blocks += [Words(f"{line[:1].upper()}{line[1:]}.") for line in verdicts(found, best)]
    if report.noise is None:
        text = f"Whether the gain survives another seed is not known; hms-search noise {report.name} tells."
        blocks.append(Words(text))
    if report.recheck is None:
        text = f"How much of the best trials' gain is luck is not known; hms-search recheck {report.name} tells."
        blocks.append(Words(text))
    return Section("Run again", blocks)
