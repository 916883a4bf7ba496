"""Contract tests that every model of the package has to pass."""
