"""How the tensors of published checkpoints map to ours, one file a source."""
