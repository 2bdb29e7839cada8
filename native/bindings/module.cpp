// The Python module ann_bench.engine._native. Arrays come here ready (float32 or bool, C-contiguous):
// ann_bench/engine/arrays.py converts and explains, this file only refuses.

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "ann_bench/cluster.hpp"
#include "ann_bench/flat.hpp"
#include "ann_bench/forest.hpp"
#include "ann_bench/graph.hpp"
#include "quick_query.hpp"
#include "section_file.hpp"
#include "slowdown.hpp"

namespace py = pybind11;

namespace ann_bench {

void bind_annoy_file(py::module_& module);  // annoy_file.cpp

namespace {

constexpr std::uint64_t most_threads = 1024;
constexpr std::uint64_t any_number = std::numeric_limits<std::uint64_t>::max();

/// Reads a Python integer (or what stands for one, as NumPy's do) in low..high.
std::uint64_t integer(py::handle value, const char* name, std::uint64_t low, std::uint64_t high) {
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!index) PyErr_Clear();
    const bool whole = index && !PyBool_Check(value.ptr());
    std::uint64_t number = 0;
    if (whole) {
        number = PyLong_AsUnsignedLongLong(index.ptr());
        const bool fits = PyErr_Occurred() == nullptr;
        PyErr_Clear();
        if (fits && number >= low && number <= high) return number;
    }
    std::string message = std::string(name) + ": got " + py::repr(value).cast<std::string>() +
                          "; it is an integer from " + std::to_string(low);
    if (high != any_number) message += " to " + std::to_string(high);
    if (whole) throw py::value_error(message);
    throw py::type_error(message);
}

std::uint32_t distance_number(const std::string& name) {
    const auto found = std::find(distance_names.begin(), distance_names.end(), name);
    if (found != distance_names.end()) return static_cast<std::uint32_t>(found - distance_names.begin());
    std::string message = "distance: got \"" + name + "\"; it is one of ";
    for (const auto& other : distance_names)
        message += std::string(&other == distance_names.begin() ? "" : ", ") + std::string(other);
    throw py::value_error(message);
}

template <class T, class Given>
bool take(const py::array& array, Vectors& vectors) {
    if (!py::isinstance<py::array_t<Given, py::array::c_style>>(array)) return false;
    vectors = std::span(static_cast<const T*>(array.data()), static_cast<std::size_t>(array.size()));
    return true;
}

/// The values of an array, which must be what `distance` takes. Holds no reference.
Vectors values_of(const py::array& array, Distance distance) {
    Vectors vectors;
    if (takes_bits(distance)) {
        if (take<Bit, bool>(array, vectors)) return vectors;
    } else if (take<float, float>(array, vectors) || take<std::int8_t, std::int8_t>(array, vectors) ||
               take<std::uint8_t, std::uint8_t>(array, vectors)) {
        return vectors;
    } else if (array.dtype().kind() == 'f' && array.itemsize() == 2 &&
               (array.flags() & py::array::c_style) != 0) {
        return std::span(static_cast<const Half*>(array.data()), static_cast<std::size_t>(array.size()));
    }
    throw py::type_error(
        "arrays come here C-contiguous: bool for hamming and jaccard; float32, float16, int8 or uint8 for "
        "other distances");
}

struct Rows {
    Vectors values;
    std::size_t count;
    std::uint32_t dimension;
};

Rows rows_of(const py::array& train, Distance distance) {
    if (train.ndim() != 2) throw py::value_error("train: an array of shape (n, dimension)");
    const auto dimension = static_cast<std::size_t>(train.shape(1));
    if (dimension > max_dimension) throw py::value_error("train: rows have 1 to 65535 dimensions");
    return {values_of(train, distance), static_cast<std::size_t>(train.shape(0)),
            static_cast<std::uint32_t>(dimension)};
}

unsigned threads_of(py::handle threads) {
    return static_cast<unsigned>(integer(threads, "threads", 1, most_threads));
}

std::unique_ptr<Index> build_forest(const py::array& train, const std::string& distance, py::handle n_trees,
                                    py::handle seed, py::handle threads,
                                    const std::optional<py::array_t<std::uint32_t>>& present,
                                    const std::optional<std::string>& path) {
    ForestOptions options;
    options.distance = static_cast<Distance>(distance_number(distance));
    options.trees = static_cast<std::uint32_t>(integer(n_trees, "n_trees", 1, 1'000'000));
    options.seed = integer(seed, "seed", 0, any_number);
    options.threads = threads_of(threads);
    if (present) options.present.emplace(present->data(), static_cast<std::size_t>(present->size()));
    const Rows rows = rows_of(train, options.distance);
    const py::gil_scoped_release release;
    return std::make_unique<Forest>(
        path ? Forest::build_file(rows.values, rows.count, rows.dimension, options, *path)
             : Forest::build(rows.values, rows.count, rows.dimension, options));
}

std::unique_ptr<Index> build_flat(const py::array& train, const std::string& distance, bool codes,
                                  py::handle threads) {
    const auto number = static_cast<Distance>(distance_number(distance));
    const unsigned workers = threads_of(threads);
    const Rows rows = rows_of(train, number);
    const py::gil_scoped_release release;
    return std::make_unique<Flat>(
        Flat::build(rows.values, rows.count, rows.dimension, number, codes, workers));
}

std::unique_ptr<Index> build_graph(const py::array& train, const std::string& distance, py::handle degree,
                                   double alpha, py::handle seed, py::handle threads) {
    GraphOptions options;
    options.distance = static_cast<Distance>(distance_number(distance));
    if (!degree.is_none()) {
        options.degree = static_cast<std::uint32_t>(integer(degree, "degree", 1, most_degree));
    }
    if (!(alpha >= 1 && alpha <= 2)) {
        throw py::value_error("alpha: got " + py::str(py::float_(alpha)).cast<std::string>() +
                              "; it is a number from 1 to 2");
    }
    options.alpha = static_cast<float>(alpha);
    options.seed = integer(seed, "seed", 0, any_number);
    options.threads = threads_of(threads);
    const Rows rows = rows_of(train, options.distance);
    const py::gil_scoped_release release;
    return std::make_unique<Graph>(Graph::build(rows.values, rows.count, rows.dimension, options));
}

std::unique_ptr<Index> build_cluster(const py::array& train, const std::string& distance, py::handle clusters,
                                     py::handle assignments, py::handle seed, py::handle threads) {
    ClusterOptions options;
    options.distance = static_cast<Distance>(distance_number(distance));
    if (!clusters.is_none()) {
        options.clusters = static_cast<std::uint32_t>(integer(clusters, "clusters", 1, most_clusters));
    }
    if (!assignments.is_none()) {
        options.assignments = static_cast<std::uint32_t>(integer(assignments, "assignments", 1, 2));
    }
    options.seed = integer(seed, "seed", 0, any_number);
    options.threads = threads_of(threads);
    const Rows rows = rows_of(train, options.distance);
    const py::gil_scoped_release release;
    return std::make_unique<Cluster>(Cluster::build(rows.values, rows.count, rows.dimension, options));
}

std::unique_ptr<Index> open(const std::string& path, const std::string& mode) {
    if (mode != "mmap" && mode != "ram") {
        throw py::value_error("mode: got \"" + mode + "\"; it is \"mmap\" or \"ram\"");
    }
    const py::gil_scoped_release release;
    return Index::open(path, mode == "mmap" ? OpenMode::mmap : OpenMode::ram);
}

/// What `reach` is called in this kind of index.
const char* name_of_reach(const Index& index) {
    if (index.kind() == IndexKind::cluster) return "nprobe";
    return index.kind() == IndexKind::forest ? "search_k" : "ef";
}

Effort effort_of(const Index& index, std::size_t k, py::handle reach, py::handle rerank, py::handle recall) {
    std::optional<float> share;
    if (!recall.is_none()) {
        const double given = py::cast<double>(py::float_(py::reinterpret_borrow<py::object>(recall)));
        if (!(given > 0 && given <= 1)) {
            throw py::value_error("recall: got " + py::repr(recall).cast<std::string>() +
                                  "; it is above 0, and 1 at most");
        }
        share = static_cast<float>(given);
    }
    Effort effort = index.effort_for(k, share);
    if (!reach.is_none()) effort.reach = integer(reach, name_of_reach(index), 1, any_number);
    if (!rerank.is_none()) effort.rerank = integer(rerank, "rerank", 1, any_number);
    return effort;
}

py::tuple query(const Index& index, const py::array& vectors, py::handle k, py::handle reach,
                py::handle rerank, py::handle recall,
                const std::optional<py::array_t<std::uint64_t, py::array::c_style>>& allowed,
                py::handle threads) {
    [[maybe_unused]] const Slowdown slowdown;
    const Shape facts = index.shape();
    Request request{integer(k, "k", 1, std::numeric_limits<std::int32_t>::max()), {}};
    request.effort = effort_of(index, request.k, reach, rerank, recall);
    request.threads = threads_of(threads);
    if (allowed) request.allowed.emplace(allowed->data(), static_cast<std::size_t>(allowed->size()));
    const bool many = vectors.ndim() == 2;
    if (vectors.ndim() < 1 || vectors.ndim() > 2 || vectors.shape(vectors.ndim() - 1) != facts.dimension) {
        std::string shape;
        for (py::ssize_t i = 0; i < vectors.ndim(); ++i)
            shape += (i ? ", " : "") + std::to_string(vectors.shape(i));
        const std::string dimension = std::to_string(facts.dimension);
        throw py::value_error("vectors: got shape (" + shape + (vectors.ndim() == 1 ? ",)" : ")") +
                              "; this index takes (" + dimension + ",) for one vector, (m, " + dimension +
                              ") for many");
    }
    const auto count = many ? static_cast<std::size_t>(vectors.shape(0)) : 1;
    const Vectors values = values_of(vectors, facts.distance);
    auto shape = many ? py::array::ShapeContainer{count, request.k} : py::array::ShapeContainer{request.k};
    py::array_t<std::int32_t> ids(shape);
    py::array_t<float> distances(std::move(shape));
    std::int32_t* const to_ids = ids.mutable_data();
    float* const to_distances = distances.mutable_data();
    {
        const py::gil_scoped_release release;
        index.query(values, count, request, to_ids, to_distances);
    }
    return py::make_tuple(std::move(ids), std::move(distances));
}

py::tuple query_rows(const Index& index, const py::array_t<std::uint32_t, py::array::c_style>& rows,
                     py::handle k, py::handle reach, py::handle rerank, py::handle threads) {
    Request request{integer(k, "k", 1, std::numeric_limits<std::int32_t>::max()), {}};
    request.effort = effort_of(index, request.k, reach, rerank, py::none());
    request.threads = threads_of(threads);
    const std::span numbers(rows.data(), static_cast<std::size_t>(rows.size()));
    py::array_t<std::int32_t> ids({numbers.size(), request.k});
    py::array_t<float> distances({numbers.size(), request.k});
    std::int32_t* const to_ids = ids.mutable_data();
    float* const to_distances = distances.mutable_data();
    {
        const py::gil_scoped_release release;
        index.query_rows(numbers, request, to_ids, to_distances);
    }
    return py::make_tuple(std::move(ids), std::move(distances));
}

void remove(Index& index, const py::array_t<std::uint32_t, py::array::c_style>& rows) {
    index.remove({rows.data(), static_cast<std::size_t>(rows.size())});
}

void add(Index& index, const py::array& vectors, py::handle threads) {
    const Shape shape = index.shape();
    const unsigned workers = threads_of(threads);
    const Rows rows = rows_of(vectors, shape.distance);
    if (rows.dimension != shape.dimension) {
        throw py::value_error("vectors: rows of " + std::to_string(rows.dimension) +
                              " values; this index takes " + std::to_string(shape.dimension));
    }
    const py::gil_scoped_release release;
    index.add(rows.values, rows.count, workers);
}

py::array_t<float> vector(const Index& index, py::handle row) {
    const std::uint64_t number = integer(row, "row", 0, index.shape().rows - 1);
    py::array_t<float> values(static_cast<py::ssize_t>(index.shape().dimension));
    index.vector(number, values.mutable_data());
    return values;
}

py::list tuned(const Index& index) {
    py::list all;
    for (const TunedEffort& one : index.tuned()) {
        all.append(py::make_tuple(one.recall, one.k, one.effort.reach, one.effort.rerank));
    }
    return all;
}

void set_tuned(Index& index,
               const std::vector<std::tuple<double, std::uint32_t, std::uint64_t, std::uint64_t>>& all) {
    std::vector<TunedEffort> tuned;
    for (const auto& [recall, k, reach, rerank] : all) {
        tuned.push_back({static_cast<float>(recall), k, {reach, rerank}});
    }
    index.set_tuned(std::move(tuned));
}

const char* name_of(RowType type) {
    constexpr const char* names[] = {"float32", "float16", "int8", "uint8", "bool"};
    return names[static_cast<std::size_t>(type)];
}

void describe(const Forest& forest, py::dict& facts) {
    const ForestFacts& numbers = forest.facts();
    facts["n_trees"] = numbers.trees;
    facts["seed"] = numbers.seed;
    facts["code_width"] = numbers.width;
    facts["nodes"] = numbers.nodes;
    facts["boughs"] = numbers.boughs;
    facts["leaves"] = numbers.leaves;
}

void describe(const Graph& graph, py::dict& facts) {
    const GraphFacts& numbers = graph.view().facts;
    facts["row_type"] = name_of(numbers.type);
    facts["fitted"] = numbers.fitted;
    facts["degree"] = numbers.degree;
    facts["alpha"] = numbers.alpha;
    facts["seed"] = numbers.seed;
    facts["code_width"] = numbers.width;
    facts["entries"] = numbers.entries;
}

void describe(const Cluster& cluster, py::dict& facts) {
    const ClusterFacts& numbers = cluster.view().facts;
    facts["row_type"] = name_of(numbers.type);
    facts["clusters"] = numbers.clusters;
    facts["assignments"] = numbers.assignments;
    facts["seed"] = numbers.seed;
    facts["code_width"] = numbers.width;
}

py::dict info(const Index& index) {
    const Shape shape = index.shape();
    py::dict facts;
    facts["kind"] = name_of(index.kind());
    facts["distance"] = distance_names[static_cast<std::size_t>(shape.distance)];
    facts["dimension"] = shape.dimension;
    facts["rows"] = shape.rows;
    facts["present"] = index.present();
    switch (index.kind()) {
        case IndexKind::forest:
            describe(dynamic_cast<const Forest&>(index), facts);
            break;
        case IndexKind::graph:
            describe(dynamic_cast<const Graph&>(index), facts);
            break;
        case IndexKind::cluster:
            describe(dynamic_cast<const Cluster&>(index), facts);
            break;
        case IndexKind::flat:
            facts["row_type"] = name_of(dynamic_cast<const Flat&>(index).facts().type);
    }
    facts["tuned"] = tuned(index);
    facts["size_bytes"] = index.size_bytes();
    return facts;
}

py::dict build_info() {
    py::dict facts;
    facts["version"] = ANN_BENCH_VERSION;
    facts["compiler"] = ANN_BENCH_COMPILER;
    facts["flags"] = ANN_BENCH_FLAGS;
    facts["build_type"] = ANN_BENCH_BUILD_TYPE;
    facts["isa"] = name_of(kernels().isa);
    facts["file_version"] = file_major;
    return facts;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "The compiled part of ann_bench.engine.";
    py::register_exception<DamagedIndex>(module, "DamagedIndexError", PyExc_ValueError);
    py::register_local_exception_translator([](std::exception_ptr error) {
        try {
            std::rethrow_exception(error);
        } catch (const std::system_error& system) {
            const py::tuple arguments = py::make_tuple(system.code().value(), system.what());
            PyErr_SetObject(PyExc_OSError, arguments.ptr());
        }
    });
    module.def("build_info", &build_info);
    bind_section_file(module);
    const auto free_of_gil = py::call_guard<py::gil_scoped_release>();
    module.def("build_forest", &build_forest, py::arg("train").noconvert(), py::arg("distance"),
               py::arg("n_trees"), py::arg("seed"), py::arg("threads"), py::arg("present"), py::arg("path"));
    module.def("build_flat", &build_flat, py::arg("train").noconvert(), py::arg("distance"), py::arg("codes"),
               py::arg("threads"));
    module.def("build_cluster", &build_cluster, py::arg("train").noconvert(), py::arg("distance"),
               py::arg("clusters"), py::arg("assignments"), py::arg("seed"), py::arg("threads"));
    module.def("build_graph", &build_graph, py::arg("train").noconvert(), py::arg("distance"),
               py::arg("degree"), py::arg("alpha"), py::arg("seed"), py::arg("threads"));
    module.def("open_index", &open, py::arg("path"), py::arg("mode"));
    py::class_<Index>(module, "Index")
        .def("save", &Index::save, py::arg("path"), free_of_gil)
        .def("query", &query, py::arg("vectors").noconvert(), py::arg("k"), py::arg("reach"),
             py::arg("rerank"), py::arg("recall"), py::arg("allowed").noconvert(), py::arg("threads"))
        .def("quick_query", &quick_query_of)
        .def("query_rows", &query_rows, py::arg("rows").noconvert(), py::arg("k"), py::arg("reach"),
             py::arg("rerank"), py::arg("threads"))
        .def("add", &add, py::arg("vectors").noconvert(), py::arg("threads"))
        .def("remove", &remove, py::arg("rows").noconvert())
        .def("is_present", &Index::is_present, py::arg("row"))
        .def("vector", &vector, py::arg("row"))
        .def(
            "usual_effort",
            [](const Index& index, std::size_t k) {
                const Effort effort = index.usual_effort(k);
                return py::make_tuple(effort.reach, effort.rerank);
            },
            py::arg("k"))
        .def("whole_effort",
             [](const Index& index) {
                 const Effort effort = index.whole_effort();
                 return py::make_tuple(effort.reach, effort.rerank);
             })
        .def("tuned", &tuned)
        .def("set_tuned", &set_tuned, py::arg("tuned"))
        .def("info", &info)
        .def_property_readonly("distance_computations", &Index::distance_computations);
    bind_annoy_file(module);
}

}  // namespace ann_bench
