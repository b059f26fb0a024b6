"""Stored features of videos: Fine features, snippet features, and published ones."""
