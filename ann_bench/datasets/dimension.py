"""The local intrinsic dimension of data: what makes a search hard, more than the length of the vectors."""

import math

import numpy as np
import numpy.typing as npt


def local_intrinsic_dimension(distances: npt.NDArray[np.floating]) -> float:
    """Return the local intrinsic dimension around queries, the mean of their maximum likelihood estimates.

    Where the data around a query fill m dimensions evenly, the number of rows within a distance r grows as
    r**m. With r_1 <= ... <= r_k the distances of its nearest rows, the estimate of m is

        (k - 1) / sum_{j < k} log(r_k / r_j).

    Distances of 0 (a row that equals the query) are left out, and so are queries whose other distances are
    all equal; of none that is left the answer is NaN.

    Parameters
    ----------
    distances
        Shape (q, k), each row in ascending order. Of a distance that grows as the L2 norm does nearby: for
        angular ones (1 - cos) give the chord, sqrt(2 (1 - cos)).

    References
    ----------
    Levina, Bickel: Maximum Likelihood Estimation of Intrinsic Dimension. NIPS 2004.
    Amsaleg, Chelly, Furon, Girard, Houle, Kawarabayashi, Nett: Estimating Local Intrinsic Dimensionality. KDD
    2015.
    """
    positive = distances > 0
    farthest = np.where(positive[:, -1:], distances[:, -1:], 1.0)
    logs = np.log(farthest / np.where(positive, distances, farthest)).sum(axis=1, dtype=np.float64)
    told = logs > 0
    if not told.any():
        return math.nan
    return float(np.mean((positive.sum(axis=1)[told] - 1) / logs[told]))
