"""Files from outside, one module a container format: read within limits, every failure one line."""
