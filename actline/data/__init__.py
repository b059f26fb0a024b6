"""Annotations, data sets and stored features."""
