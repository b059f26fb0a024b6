"""What every path through the package produces: activities in time, and per-frame scores."""

from actline.timeline.timeline import Activity, FrameScores, Timeline

__all__ = ["Activity", "FrameScores", "Timeline"]
