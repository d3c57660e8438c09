"""Signal processing: tensors in, tensors out; no files, no tables."""
