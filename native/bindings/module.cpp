// The Python module ann_bench.engine._native. Arrays come here ready (float32 or bool, C-contiguous):
// ann_bench/engine/arrays.py converts and explains, this file only refuses.

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <system_error>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "ann_bench/file.hpp"
#include "ann_bench/forest.hpp"

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

template <class Names>
std::uint32_t number_of(const Names& names, const std::string& name, const char* what) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) return static_cast<std::uint32_t>(found - names.begin());
    std::string message = std::string(what) + ": got \"" + name + "\"; it is one of ";
    for (const auto& other : names)
        message += std::string(&other == names.begin() ? "" : ", ") + std::string(other);
    throw py::value_error(message);
}

/// The values of an array, which must be what `distance` takes. Holds no reference.
Vectors values_of(const py::array& array, Distance distance) {
    const auto size = static_cast<std::size_t>(array.size());
    if (distance == Distance::hamming) {
        if (py::isinstance<py::array_t<bool, py::array::c_style>>(array)) {
            return std::span(static_cast<const std::uint8_t*>(array.data()), size);
        }
    } else if (py::isinstance<py::array_t<float, py::array::c_style>>(array)) {
        return std::span(static_cast<const float*>(array.data()), size);
    }
    throw py::type_error(
        "arrays come here C-contiguous, as bool for hamming and float32 for other distances");
}

Forest build(const py::array& train, const std::string& distance, py::handle n_trees, py::handle leaf_size,
             const std::string& split, py::handle seed, py::handle threads,
             const std::optional<py::array_t<bool, py::array::c_style>>& present) {
    BuildOptions options;
    options.distance = static_cast<Distance>(number_of(distance_names, distance, "distance"));
    options.split = static_cast<SplitScheme>(number_of(split_names, split, "split"));
    options.trees = static_cast<std::uint32_t>(integer(n_trees, "n_trees", 1, 1'000'000));
    options.leaf_size = static_cast<std::uint32_t>(integer(leaf_size, "leaf_size", 1, leaf_bit - 1));
    options.seed = integer(seed, "seed", 0, any_number);
    options.threads = static_cast<unsigned>(integer(threads, "threads", 1, most_threads));
    if (train.ndim() != 2) throw py::value_error("train: an array of shape (n, dimension)");
    const auto count = static_cast<std::size_t>(train.shape(0));
    const auto dimension = static_cast<std::size_t>(train.shape(1));
    if (dimension > max_dimension) throw py::value_error("train: rows have 1 to 65535 dimensions");
    const Vectors vectors = values_of(train, options.distance);
    std::span<const std::uint8_t> mask;
    if (present) {
        mask = {reinterpret_cast<const std::uint8_t*>(present->data()),
                static_cast<std::size_t>(present->size())};
    }
    const py::gil_scoped_release release;
    return Forest::build(vectors, count, static_cast<std::uint32_t>(dimension), options, mask);
}

py::tuple query(const Forest& forest, const py::array& vectors, py::handle k, py::handle search_k,
                py::handle threads) {
    const Summary& summary = forest.summary();
    const std::size_t answers = integer(k, "k", 1, std::numeric_limits<std::int32_t>::max());
    const std::uint64_t entries =
        search_k.is_none() ? summary.trees * answers : integer(search_k, "search_k", 1, any_number);
    const auto workers = static_cast<unsigned>(integer(threads, "threads", 1, most_threads));
    const bool many = vectors.ndim() == 2;
    if (vectors.ndim() < 1 || vectors.ndim() > 2 || vectors.shape(vectors.ndim() - 1) != summary.dimension) {
        std::string shape;
        for (py::ssize_t i = 0; i < vectors.ndim(); ++i)
            shape += (i ? ", " : "") + std::to_string(vectors.shape(i));
        const std::string dimension = std::to_string(summary.dimension);
        throw py::value_error("vectors: got shape (" + shape + (vectors.ndim() == 1 ? ",)" : ")") +
                              "; this index takes (" + dimension + ",) for one vector, (m, " + dimension +
                              ") for many");
    }
    const auto count = many ? static_cast<std::size_t>(vectors.shape(0)) : 1;
    const Vectors values = values_of(vectors, summary.distance);
    auto shape = many ? py::array::ShapeContainer{count, answers} : py::array::ShapeContainer{answers};
    py::array_t<std::int32_t> ids(shape);
    py::array_t<float> distances(std::move(shape));
    std::int32_t* const to_ids = ids.mutable_data();
    float* const to_distances = distances.mutable_data();
    {
        const py::gil_scoped_release release;
        forest.query(values, count, answers, entries, workers, to_ids, to_distances);
    }
    return py::make_tuple(std::move(ids), std::move(distances));
}

py::array vector(const Forest& forest, std::size_t row) {
    const auto dimension = static_cast<py::ssize_t>(forest.summary().dimension);
    if (forest.summary().distance == Distance::hamming) {
        py::array_t<bool> values(dimension);
        forest.vector(row, reinterpret_cast<std::uint8_t*>(values.mutable_data()));
        return values;
    }
    py::array_t<float> values(dimension);
    forest.vector(row, values.mutable_data());
    return values;
}

py::dict info(const Forest& forest) {
    const Summary& summary = forest.summary();
    py::dict facts;
    facts["distance"] = distance_names[static_cast<std::size_t>(summary.distance)];
    facts["dimension"] = summary.dimension;
    facts["rows"] = summary.rows;
    facts["n_trees"] = summary.trees;
    facts["leaf_size"] = summary.leaf_size;
    facts["split"] = split_names[static_cast<std::size_t>(summary.split)];
    facts["seed"] = summary.seed;
    facts["nodes"] = summary.nodes;
    facts["leaves"] = summary.leaves;
    facts["size_bytes"] = file_bytes(summary);
    return facts;
}

py::dict build_info() {
    py::dict facts;
    facts["version"] = ANN_BENCH_VERSION;
    facts["compiler"] = ANN_BENCH_COMPILER;
    facts["flags"] = ANN_BENCH_FLAGS;
    facts["build_type"] = ANN_BENCH_BUILD_TYPE;
    facts["file_version"] = file_version;
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
    const auto free_of_gil = py::call_guard<py::gil_scoped_release>();
    py::class_<Forest>(module, "Forest")
        .def_static("build", &build, py::arg("train").noconvert(), py::arg("distance"), py::arg("n_trees"),
                    py::arg("leaf_size"), py::arg("split"), py::arg("seed"), py::arg("threads"),
                    py::arg("present"))
        .def_static("open", &Forest::open, py::arg("path"), free_of_gil)
        .def("save", &Forest::save, py::arg("path"), free_of_gil)
        .def("query", &query, py::arg("vectors").noconvert(), py::arg("k"), py::arg("search_k"),
             py::arg("threads"))
        .def("vector", &vector, py::arg("row"))
        .def("info", &info)
        .def_property_readonly("distance_computations", &Forest::distance_computations);
    bind_annoy_file(module);
}

}  // namespace ann_bench
