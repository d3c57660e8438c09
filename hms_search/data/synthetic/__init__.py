"""Synthetic ICU EEG in the layout of the HMS competition: data to search, test and measure on where the real is absent.

``write_synthetic`` plans each patient's sessions and votes (``plan``, ``patients``, ``annotators``), renders one signal
per session (``background``, ``patterns``, ``artefacts``, on the electrodes of ``head``), computes its spectrogram from
that signal (``spectrogram``) and writes the files (``write``).
"""

from hms_search.data.synthetic.write import SyntheticReport, write_synthetic

__all__ = ["SyntheticReport", "write_synthetic"]
