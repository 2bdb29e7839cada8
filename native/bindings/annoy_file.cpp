// AnnoyFile for ann_bench/engine/annoy.py, which has converted and checked all that comes here.

#include "ann_bench/annoy_file.hpp"

#include <algorithm>
#include <string>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace ann_bench {
namespace {

using Floats = py::array_t<float, py::array::c_style>;

std::unique_ptr<AnnoyFile> open(const std::string& path, const std::string& distance, std::uint32_t dimension,
                                bool prefault) {
    const auto found = std::find(distance_names.begin(), distance_names.end(), distance);
    if (found == distance_names.end()) throw py::value_error("distance: got \"" + distance + "\"");
    const auto number = static_cast<Distance>(found - distance_names.begin());
    const py::gil_scoped_release release;
    return AnnoyFile::open(path, number, dimension, prefault);
}

Floats vector(const AnnoyFile& file, std::int32_t item) {
    Floats values(static_cast<py::ssize_t>(file.dimension()));
    file.vector(item, values.mutable_data());
    return values;
}

py::tuple query(const AnnoyFile& file, const Floats& vector, std::int32_t k, std::int32_t search_k) {
    if (vector.ndim() != 1 || vector.shape(0) != static_cast<py::ssize_t>(file.dimension())) {
        throw py::value_error("vector: this index takes shape (" + std::to_string(file.dimension()) + ",)");
    }
    const float* const values = vector.data();
    AnnoyFile::Answers answers;
    {
        const py::gil_scoped_release release;
        answers = file.query(values, k, search_k);
    }
    const auto count = static_cast<py::ssize_t>(answers.ids.size());
    return py::make_tuple(py::array_t<std::int32_t>(count, answers.ids.data()),
                          Floats(count, answers.distances.data()));
}

/// The file's bytes, for memoryview.
py::buffer_info buffer(const AnnoyFile& file) {
    const auto bytes = file.bytes();
    return {const_cast<std::byte*>(bytes.data()),
            1,
            py::format_descriptor<std::uint8_t>::format(),
            1,
            {static_cast<py::ssize_t>(bytes.size())},
            {1},
            true};
}

}  // namespace

void bind_annoy_file(py::module_& module) {
    py::class_<AnnoyFile>(module, "AnnoyFile", py::buffer_protocol())
        .def_static("open", &open, py::arg("path"), py::arg("distance"), py::arg("dimension"),
                    py::arg("prefault"))
        .def_property_readonly("items", &AnnoyFile::items)
        .def_property_readonly("trees", &AnnoyFile::trees)
        .def("vector", &vector, py::arg("item"))
        .def("distance", &AnnoyFile::distance, py::arg("a"), py::arg("b"))
        .def("query", &query, py::arg("vector").noconvert(), py::arg("k"), py::arg("search_k"))
        .def_buffer(&buffer);
}

}  // namespace ann_bench
