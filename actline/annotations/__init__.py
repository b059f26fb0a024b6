"""Annotations of videos: reading, checking and writing them."""
