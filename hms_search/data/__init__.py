"""From files to batches: the Kaggle layout, the Store, folds and synthetic recordings."""
