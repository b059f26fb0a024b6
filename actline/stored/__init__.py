"""Reading untrusted files, one module per format: within limits, with errors of one line."""
