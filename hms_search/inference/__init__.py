"""Trained models at work: the folder a model lives in, and what it predicts.

Nothing here imports Optuna or MLflow: this package, with what it imports, is what a Kaggle bundle carries.
"""
