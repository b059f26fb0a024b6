"""Stored features of videos: Fine ones, snippets, and those that others published."""
