"""Comparing BASE with NEW: what changed, by how much, how sure, and whether that fails a build."""
