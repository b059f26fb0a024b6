"""Annotations of videos, and what is wrong with them."""
