"""One small file per library; it runs in that library's environment and imports the worker's `Wrapper`."""
