"""From a video and a checkpoint to a timeline."""
