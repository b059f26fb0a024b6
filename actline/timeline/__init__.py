"""The result of every detector: activities in time, and per-frame scores."""

from actline.timeline.timeline import Activity, FrameScores, Timeline

__all__ = ["Activity", "FrameScores", "Timeline"]
