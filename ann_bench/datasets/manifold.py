"""Vectors on a curved manifold, drawn from a seed: the same numbers however they are computed.

A vector begins as a point of a mixture of Gaussians in a latent space. The clusters' sizes fall as Zipf's law
has it; they have spreads of their own, axes that get shorter one after the other, and they overlap: among the
neighbours of a point are some of other clusters. One smooth map for all of them, a layer of units that
saturate, bends the latent space into the space of the vectors; a little noise is added in every dimension.

Each number is rounded to a multiple of 2**-16 before a matrix product takes it. The products are then sums
that float64 holds exactly, so neither the library of linear algebra, nor its threads, nor the processor's
instructions change a bit; what else is done (divide, square root) IEEE 754 rounds in one way only. Vectors
are multiples of 2**-10, so their squared distances do not depend on the order of summation either. What is
left is how NumPy makes normal numbers of PCG64's bits.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BLOCK_ROWS = 8192  # a part of the definition: another number gives other vectors
_MODEL, _TRAIN, _TEST = range(3)


@dataclass(frozen=True)
class Manifold:
    """A distribution of vectors, and its generator. Another default below is another `version`.

    Attributes
    ----------
    seed
        Every number follows from it and from the other parameters.
    dimension
        Components of a vector.
    clusters
        How many; the share of the i-th is proportional to 1 / (i + 5).
    latent
        Dimensions of the latent space.
    separation
        Standard deviation of the clusters' centres in each latent dimension, where that of their points is
        0.5 to 1.5 along the longest axis.
    decay
        Axis i of a cluster has 1 / sqrt(1 + i / decay) of the length of its first.
    hidden
        Units of the smooth map.
    noise
        Standard deviation of the noise; that of a component of a vector is about 1.4.
    """

    name: ClassVar[str] = "manifold"
    version: ClassVar[int] = 1

    seed: int
    dimension: int
    clusters: int = 200
    latent: int = 40
    separation: float = 0.5
    decay: float = 12.0
    hidden: int = 256
    noise: float = 0.1

    def train(self, rows: int) -> Iterator[npt.NDArray[np.float32]]:
        """Return the first `rows` rows, in blocks of `BLOCK_ROWS`; fewer rows are the first of more."""
        return self._blocks(_TRAIN, rows)

    def test(self, rows: int) -> Iterator[npt.NDArray[np.float32]]:
        """Return queries: as `train` does, other vectors of the same distribution."""
        return self._blocks(_TEST, rows)

    def attributes(self) -> dict[str, Any]:
        """Return what a file should say about where its vectors come from."""
        parameters = asdict(self)
        seed = parameters.pop("seed")
        return {
            "generator": f"ann_bench {self.name}",
            "generator_version": self.version,
            "generator_seed": seed,
            "generator_parameters": ", ".join(f"{key}={value}" for key, value in parameters.items()),
        }

    def _blocks(self, stream: int, rows: int) -> Iterator[npt.NDArray[np.float32]]:
        for number in range(-(-rows // BLOCK_ROWS)):
            yield self._block(stream, number)[: rows - number * BLOCK_ROWS]

    def _block(self, stream: int, number: int) -> npt.NDArray[np.float32]:
        """Return a whole block, shape (BLOCK_ROWS, dimension)."""
        rng, model = self._random(stream, number), self._model
        cluster = np.searchsorted(model.shares, rng.random(BLOCK_ROWS))
        points = _rounded(rng.standard_normal((BLOCK_ROWS, self.latent)))
        noise = _rounded(self.noise * rng.standard_normal((BLOCK_ROWS, self.dimension)))
        for each in np.unique(cluster):
            members = cluster == each
            points[members] = model.centres[each] + points[members] @ model.axes[each]
        units = _rounded(points) @ model.inward + model.bias
        units /= np.sqrt(1 + units * units)
        return _rounded(_rounded(units) @ model.outward + noise, bits=10).astype(np.float32)

    @cached_property
    def _model(self) -> "_Model":
        """What all blocks have in common."""
        rng = self._random(_MODEL)
        latent, hidden = self.latent, self.hidden
        shares = np.cumsum(1 / (np.arange(self.clusters) + 5))
        spreads = rng.uniform(0.5, 1.5, (self.clusters, 1, 1))
        lengths = 1 / np.sqrt(1 + np.arange(latent)[:, None] / self.decay)
        axes = rng.standard_normal((self.clusters, latent, latent)) / np.sqrt(latent)
        return _Model(
            shares=shares / shares[-1],
            centres=_rounded(self.separation * rng.standard_normal((self.clusters, latent))),
            axes=_rounded(spreads * lengths * axes),
            inward=_rounded(1.5 * rng.standard_normal((latent, hidden)) / np.sqrt(latent)),
            bias=_rounded(rng.standard_normal(hidden)),
            outward=_rounded(2 * rng.standard_normal((hidden, self.dimension)) / np.sqrt(hidden)),
        )

    def _random(self, *key: int) -> np.random.Generator:
        """Return the random numbers that belong to a key, whichever were drawn before."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))


@dataclass(frozen=True)
class _Model:
    """The mixture (cumulated shares, centres, axes by rows), and the map (into the units, out of them)."""

    shares: Floats
    centres: Floats
    axes: Floats
    inward: Floats
    bias: Floats
    outward: Floats


def _rounded(values: Floats, bits: int = 16) -> Floats:
    """Return the nearest multiples of 2**-bits."""
    return np.round(values * 2.0**bits) / 2.0**bits
