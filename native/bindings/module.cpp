// The Python module ann_bench.engine._native. Arrays come here ready (float32 or bool, C-contiguous):
// ann_bench/engine/arrays.py converts and explains, this file only refuses.

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <system_error>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "ann_bench/file.hpp"
#include "ann_bench/forest.hpp"
#include "section_file.hpp"

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
    if (distance == Distance::hamming) {
        if (take<Bit, bool>(array, vectors)) return vectors;
    } else if (take<float, float>(array, vectors) || take<std::int8_t, std::int8_t>(array, vectors) ||
               take<std::uint8_t, std::uint8_t>(array, vectors)) {
        return vectors;
    } else if (array.dtype().kind() == 'f' && array.itemsize() == 2 &&
               (array.flags() & py::array::c_style) != 0) {
        return std::span(static_cast<const Half*>(array.data()), static_cast<std::size_t>(array.size()));
    }
    throw py::type_error(
        "arrays come here C-contiguous: bool for hamming; float32, float16, int8 or uint8 for other "
        "distances");
}

Forest build(const py::array& train, const std::string& distance, py::handle n_trees, py::handle seed,
             py::handle threads, const std::optional<py::array_t<std::uint32_t>>& present,
             const std::optional<std::string>& path) {
    BuildOptions options;
    options.distance = static_cast<Distance>(distance_number(distance));
    options.trees = static_cast<std::uint32_t>(integer(n_trees, "n_trees", 1, 1'000'000));
    options.seed = integer(seed, "seed", 0, any_number);
    options.threads = static_cast<unsigned>(integer(threads, "threads", 1, most_threads));
    if (present) options.present.emplace(present->data(), static_cast<std::size_t>(present->size()));
    if (train.ndim() != 2) throw py::value_error("train: an array of shape (n, dimension)");
    const auto count = static_cast<std::size_t>(train.shape(0));
    const auto dimension = static_cast<std::size_t>(train.shape(1));
    if (dimension > max_dimension) throw py::value_error("train: rows have 1 to 65535 dimensions");
    const Vectors vectors = values_of(train, options.distance);
    const py::gil_scoped_release release;
    const auto width = static_cast<std::uint32_t>(dimension);
    return path ? Forest::build_file(vectors, count, width, options, *path)
                : Forest::build(vectors, count, width, options);
}

Forest open(const std::string& path, const std::string& mode) {
    if (mode != "mmap" && mode != "ram") {
        throw py::value_error("mode: got \"" + mode + "\"; it is \"mmap\" or \"ram\"");
    }
    const py::gil_scoped_release release;
    return Forest::open(path, mode == "mmap" ? OpenMode::mmap : OpenMode::ram);
}

#ifdef ANN_BENCH_SLOWDOWN_PERCENT
/// Makes what it stands in last longer by a known share, reading the clock included: what a comparison has to
/// find.
class Slowdown {
  public:
    Slowdown() = default;
    Slowdown(const Slowdown&) = delete;
    Slowdown& operator=(const Slowdown&) = delete;
    ~Slowdown() {
        const auto now = Clock::now();
        const auto until = now + (now - began_) * (ANN_BENCH_SLOWDOWN_PERCENT) / 100 - reads();
        while (Clock::now() < until) {
        }
    }

  private:
    using Clock = std::chrono::steady_clock;

    /// What it takes itself: three reads of the clock, and half of one that comes too late.
    static Clock::duration reads() {
        static const Clock::duration taken = [] {
            constexpr int count = 1000;
            const auto began = Clock::now();
            for (int i = 1; i < count; ++i) (void)Clock::now();
            return (Clock::now() - began) * 7 / (2 * count);
        }();
        return taken;
    }

    Clock::time_point began_ = Clock::now();
};
#endif

py::tuple query(const Forest& forest, const py::array& vectors, py::handle k, py::handle search_k,
                py::handle rerank, py::handle threads) {
#ifdef ANN_BENCH_SLOWDOWN_PERCENT
    const Slowdown slowdown;
#endif
    const Facts& facts = forest.facts();
    const std::size_t answers = integer(k, "k", 1, std::numeric_limits<std::int32_t>::max());
    Effort effort = forest.default_effort(answers);
    if (!search_k.is_none()) effort.search_k = integer(search_k, "search_k", 1, any_number);
    if (!rerank.is_none()) effort.rerank = integer(rerank, "rerank", 1, any_number);
    const auto workers = static_cast<unsigned>(integer(threads, "threads", 1, most_threads));
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
    auto shape = many ? py::array::ShapeContainer{count, answers} : py::array::ShapeContainer{answers};
    py::array_t<std::int32_t> ids(shape);
    py::array_t<float> distances(std::move(shape));
    std::int32_t* const to_ids = ids.mutable_data();
    float* const to_distances = distances.mutable_data();
    {
        const py::gil_scoped_release release;
        forest.query(values, count, answers, effort, workers, to_ids, to_distances);
    }
    return py::make_tuple(std::move(ids), std::move(distances));
}

py::array_t<float> vector(const Forest& forest, py::handle row) {
    const std::uint64_t number = integer(row, "row", 0, forest.facts().rows - 1);
    py::array_t<float> values(static_cast<py::ssize_t>(forest.facts().dimension));
    forest.vector(number, values.mutable_data());
    return values;
}

void set_default_effort(Forest& forest, py::handle search_k, py::handle rerank) {
    forest.set_default_effort({integer(search_k, "search_k", 1, any_number),
                               integer(rerank, "rerank", 1, std::numeric_limits<std::uint32_t>::max())});
}

py::dict info(const Forest& forest) {
    const Facts& numbers = forest.facts();
    py::dict facts;
    facts["distance"] = distance_names[static_cast<std::size_t>(numbers.distance)];
    facts["dimension"] = numbers.dimension;
    facts["rows"] = numbers.rows;
    facts["present"] = numbers.present;
    facts["n_trees"] = numbers.trees;
    facts["seed"] = numbers.seed;
    facts["code_width"] = numbers.width;
    facts["nodes"] = numbers.nodes;
    facts["boughs"] = numbers.boughs;
    facts["leaves"] = numbers.leaves;
    facts["search_k"] = numbers.search_k == 0 ? py::object(py::none()) : py::int_(numbers.search_k);
    facts["rerank"] = numbers.rerank == 0 ? py::object(py::none()) : py::int_(numbers.rerank);
    facts["size_bytes"] = forest.size_bytes();
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
    py::class_<Forest>(module, "Forest")
        .def_static("build", &build, py::arg("train").noconvert(), py::arg("distance"), py::arg("n_trees"),
                    py::arg("seed"), py::arg("threads"), py::arg("present"), py::arg("path"))
        .def_static("open", &open, py::arg("path"), py::arg("mode"))
        .def("save", &Forest::save, py::arg("path"), free_of_gil)
        .def("query", &query, py::arg("vectors").noconvert(), py::arg("k"), py::arg("search_k"),
             py::arg("rerank"), py::arg("threads"))
        .def("vector", &vector, py::arg("row"))
        .def("set_default_effort", &set_default_effort, py::arg("search_k"), py::arg("rerank"))
        .def("info", &info)
        .def_property_readonly("distance_computations", &Forest::distance_computations);
    bind_annoy_file(module);
}

}  // namespace ann_bench
