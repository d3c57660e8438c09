"""Ensembles: how several models' probabilities become one, and how that is fitted on out-of-fold predictions."""
