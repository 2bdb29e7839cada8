"""Chroma (chroma-core/chroma): documents in SQLite, their vectors in a graph of hnswlib's."""

import os
import shutil
import tempfile

import chromadb
from chromadb.config import Settings

from ann_bench.worker.wrapper import Wrapper

SPACES = {"euclidean": "l2", "angular": "cosine", "dot": "ip"}
NAME = "vectors"


class Chroma(Wrapper):
    """One collection of a `PersistentClient` in a folder.

    A collection keeps the `ef_search` that it was opened with, so that for another the store is closed and
    opened again. Every batch of rows is written: others would get other links when the store is opened.
    """

    ef_search = None

    def _make_folder(self):
        self.folder = os.path.join(tempfile.mkdtemp(), "store")

    def _open(self):
        self.client = chromadb.PersistentClient(self.folder, settings=Settings(anonymized_telemetry=False))

    def build(self, train, distance, threads, max_neighbors, ef_construction):
        self._make_folder()
        self._open()
        hnsw = {
            "space": SPACES[distance],
            "max_neighbors": max_neighbors,
            "ef_construction": ef_construction,
            "num_threads": threads,
            "batch_size": 2,
            "sync_threshold": 2,
        }
        self.collection = self.client.create_collection(
            NAME, configuration={"hnsw": hnsw}, embedding_function=None
        )
        step = self.client.get_max_batch_size()
        for first in range(0, len(train), step):
            rows = train[first : first + step]
            ids = [str(i) for i in range(first, first + len(rows))]
            self.collection.add(ids=ids, embeddings=rows)

    def set_query(self, threads, ef_search):
        if ef_search != self.ef_search:
            self.collection.modify(configuration={"hnsw": {"ef_search": ef_search}})
            self.client.close()
            self._open()
            self.collection = self.client.get_collection(NAME, embedding_function=None)
            self.ef_search = ef_search

    def query(self, vector, k):
        found = self.collection.query(query_embeddings=[vector], n_results=k, include=[])
        return [int(i) for i in found["ids"][0]]

    def query_batch(self, vectors, k):
        found = self.collection.query(query_embeddings=list(vectors), n_results=k, include=[])
        return [[int(i) for i in ids] for ids in found["ids"]]

    def save(self, path):
        shutil.copytree(self.folder, os.fspath(path))

    def load(self, path):
        self._make_folder()
        shutil.copytree(os.fspath(path), self.folder)
        self._open()
        self.collection = self.client.get_collection(NAME, embedding_function=None)

    def close(self):
        self.client.close()
        shutil.rmtree(os.path.dirname(self.folder))
