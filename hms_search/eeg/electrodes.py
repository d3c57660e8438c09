"""The electrodes and regions of a recording; without PyTorch, which a process that only reads files need not load."""

ELECTRODES = (
    *("Fp1", "F3", "C3", "P3", "F7", "T3", "T5", "O1", "Fz", "Cz"),
    *("Pz", "Fp2", "F4", "C4", "P4", "F8", "T4", "T6", "O2", "EKG"),
)
"""Columns of an EEG file, in order; microvolts."""
SCALP = ELECTRODES[:-1]
"""The 19 electrodes on the head; the twentieth records the heart."""
REGIONS = ("LL", "RL", "LP", "RP")
"""Regions of a spectrogram file, in order: left and right lateral, left and right parasagittal."""
