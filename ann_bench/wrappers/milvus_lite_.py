"""Milvus Lite (milvus-io/milvus-lite): Milvus's client before a store in this process, Python over Faiss."""

import os
import shutil
import tempfile

# Its client asks more often whether its server is there than that likes. gRPC prints so, unless it was told
# not to before it was imported.
os.environ["GRPC_VERBOSITY"] = "NONE"

import faiss
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient

from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "L2", "angular": "COSINE", "dot": "IP"}
ROWS_AT_ONCE = 5000
NAME = "vectors"


class MilvusLite(Wrapper):
    """One collection in a folder with a graph over each segment, asked over gRPC as Milvus is.

    Rows reach a segment, and segments their graph, when they are flushed and the collection is loaded.
    """

    def _open(self):
        faiss.omp_set_num_threads(self.threads)
        self.folder = os.path.join(tempfile.mkdtemp(), "store.db")

    def build(self, train, distance, threads, M, efConstruction):
        self._open()
        self.client = MilvusClient(self.folder)
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=train.shape[1])
        index = self.client.prepare_index_params()
        index.add_index(
            "vector",
            index_type="HNSW",
            metric_type=METRICS[distance],
            params={"M": M, "efConstruction": efConstruction},
        )
        self.client.create_collection(NAME, schema=schema, index_params=index)
        self.client.release_collection(NAME)
        for first in range(0, len(train), ROWS_AT_ONCE):
            rows = enumerate(train[first : first + ROWS_AT_ONCE], start=first)
            self.client.insert(NAME, [{"id": i, "vector": row} for i, row in rows])
        self.client.flush(NAME)
        self.client.load_collection(NAME)

    def set_query(self, threads, ef):
        faiss.omp_set_num_threads(threads)
        self.parameters = {"params": {"ef": ef}}

    def query(self, vector, k):
        found = self.client.search(NAME, [vector], limit=k, search_params=self.parameters)
        return [hit["id"] for hit in found[0]]

    def query_batch(self, vectors, k):
        found = self.client.search(NAME, list(vectors), limit=k, search_params=self.parameters)
        return [[hit["id"] for hit in hits] for hits in found]

    def save(self, path):
        shutil.copytree(self.folder, os.fspath(path))

    def load(self, path):
        self._open()
        shutil.copytree(os.fspath(path), self.folder)
        self.client = MilvusClient(self.folder)
        self.client.load_collection(NAME)

    def close(self):
        self.client.close()
        server_manager_instance.release_server(self.folder)
        shutil.rmtree(os.path.dirname(self.folder))
