"""Let Numba compile what PyNNDescent calls, and keep what it can of that for later processes."""

import numpy as np
import pynndescent

for metric in ("euclidean", "cosine"):
    rows = np.random.RandomState(1).normal(size=(500, 10)).astype(np.float32)
    index = pynndescent.NNDescent(rows, metric=metric, n_neighbors=10, random_state=1, n_jobs=1)
    index.prepare()
    index.query_indices(rows[:1])
