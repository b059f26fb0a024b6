"""Annotation formats, one file a data set or tool."""
