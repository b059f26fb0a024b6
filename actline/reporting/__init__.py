"""Reports and plots for people."""
