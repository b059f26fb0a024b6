"""Decoding, sampling and transforming video."""
