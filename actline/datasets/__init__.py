"""PyTorch data sets: clips and segments with their labels, in batches."""
