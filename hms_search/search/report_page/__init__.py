"""A study's report on one page: what was found, how sure it is, what it cost."""

from hms_search.search.report_page.page import Page
from hms_search.search.report_page.sections import study_page

__all__ = ["Page", "study_page"]
