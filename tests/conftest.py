"""What holds for all tests."""

from hypothesis import settings

# No test asserts on time, and an example that takes long on a busy machine is no failure.
settings.register_profile("ann_bench", deadline=None)
settings.load_profile("ann_bench")
