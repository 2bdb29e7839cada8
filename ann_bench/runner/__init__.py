"""Plan a sweep, run it in isolated workers, watch them, record what came of it."""
