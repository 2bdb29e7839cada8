"""A wrapper without a library: what is measured with it is the harness's own cost."""

from ann_bench.worker.wrapper import Wrapper


class DoNothing(Wrapper):
    """Answers every query with row 0, for any distance. It stands in no listing of algorithms."""

    def build(self, train, distance, threads):
        self.answer = [0]

    def set_query(self, threads):
        pass

    def query(self, vector, k):
        return self.answer

    def query_batch(self, vectors, k):
        return [self.answer] * len(vectors)

    def save(self, path):
        open(path, "w").close()

    def load(self, path):
        self.answer = [0]
