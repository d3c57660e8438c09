"""The Pareto front as a picture, for the study's run."""

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hms_search.search.report import StudyReport

_FRONT, _OTHERS = "#0072b2", "#9a9a9a"
"""Of Okabe and Ito's palette, which colour-blind readers tell apart, and a grey."""


def front_picture(report: StudyReport) -> bytes:
    """Return a PNG of the completed trials, the first aim over each of the others, those on the front by number."""
    names = report.wanted.names
    figure = Figure(figsize=(5.2 * (len(names) - 1), 4.2), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    front = report.front
    others = [row for row in report.rows if row.aims and row not in front]
    for place, name in enumerate(names[1:], start=1):
        axes = figure.add_subplot(1, len(names) - 1, place)
        for rows, label, colour in ((others, "other trials", _OTHERS), (front, "Pareto front", _FRONT)):
            axes.scatter([row.aims[place] for row in rows], [row.aims[0] for row in rows], color=colour, label=label)
        for row in front:
            axes.annotate(str(row.number), (row.aims[place], row.aims[0]), xytext=(4, 4), textcoords="offset points")
        axes.set_xlabel(name)
        axes.set_ylabel(names[0])
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    picture = BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
