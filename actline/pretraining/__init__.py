"""Detection pretraining on trimmed, one-action clips: volume augmentations and their loss."""
