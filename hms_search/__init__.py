"""hms_search: YAML search spaces become Optuna studies over an EEG-classification pipeline."""
