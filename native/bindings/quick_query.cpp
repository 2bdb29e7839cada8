#include "quick_query.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include <pybind11/numpy.h>

#include "ann_bench/index.hpp"
#include "slowdown.hpp"

namespace py = pybind11;

namespace ann_bench {
namespace {

using py::detail::array_descriptor1_proxy;
using py::detail::array_proxy;
using py::detail::npy_api;

constexpr const char* capsule_name = "ann_bench.engine.quick_query";

/// What the function needs of its index; lives as long as the function.
struct Asked {
    const Index* index;
    PyObject* owner;  ///< the Python object that keeps the index
    Shape shape;
};

/// A plain integer of Python in 1..most.
std::optional<std::uint64_t> number(PyObject* object, std::uint64_t most) {
    if (!PyLong_CheckExact(object)) return std::nullopt;
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0 || value < 1 || static_cast<std::uint64_t>(value) > most) return std::nullopt;
    return static_cast<std::uint64_t>(value);
}

/// The values of an array of one vector that is as the engine takes it.
std::optional<Vectors> values_of(PyObject* object, const Shape& shape) {
    const npy_api& numpy = npy_api::get();
    if (Py_TYPE(object) != numpy.PyArray_Type_) return std::nullopt;
    const auto* array = array_proxy(object);
    constexpr int wanted = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;
    if (array->nd != 1 || array->dimensions[0] != static_cast<py::ssize_t>(shape.dimension) ||
        (array->flags & wanted) != wanted) {
        return std::nullopt;
    }
    const auto* type = array_descriptor1_proxy(array->descr);
    if (type->byteorder == '>') return std::nullopt;
    const bool bits = type->type_num == npy_api::NPY_BOOL_;
    if (bits != takes_bits(shape.distance)) return std::nullopt;
    const std::size_t count = shape.dimension;
    constexpr int half = 23;  // NPY_HALF, which pybind11 does not name
    switch (type->type_num) {
        case npy_api::NPY_FLOAT_:
            return std::span(reinterpret_cast<const float*>(array->data), count);
        case npy_api::NPY_BYTE_:
            return std::span(reinterpret_cast<const std::int8_t*>(array->data), count);
        case npy_api::NPY_UBYTE_:
            return std::span(reinterpret_cast<const std::uint8_t*>(array->data), count);
        case npy_api::NPY_BOOL_:
            return std::span(reinterpret_cast<const Bit*>(array->data), count);
        case half:
            return std::span(reinterpret_cast<const Half*>(array->data), count);
        default:
            return std::nullopt;
    }
}

/// What the arguments after the vector ask for.
std::optional<Request> request_of(const Index& index, PyObject* const* arguments) {
    const auto k = number(arguments[0], std::numeric_limits<std::int32_t>::max());
    if (!k) return std::nullopt;
    std::optional<float> recall;
    if (arguments[3] != Py_None) {
        if (!PyFloat_CheckExact(arguments[3])) return std::nullopt;
        recall = static_cast<float>(PyFloat_AS_DOUBLE(arguments[3]));
        if (!(*recall > 0 && *recall <= 1)) return std::nullopt;
    }
    Request request{*k, {}};
    const bool told = arguments[1] != Py_None && arguments[2] != Py_None;
    if (!told || recall) request.effort = index.effort_for(*k, recall);
    if (arguments[1] != Py_None) {
        const auto reach = number(arguments[1], std::numeric_limits<std::int64_t>::max());
        if (!reach) return std::nullopt;
        request.effort.reach = *reach;
    }
    if (arguments[2] != Py_None) {
        const auto rerank = number(arguments[2], std::numeric_limits<std::int64_t>::max());
        if (!rerank) return std::nullopt;
        request.effort.rerank = *rerank;
    }
    return request;
}

/// A new array of one axis.
template <class T>
PyObject* new_array(std::size_t length, T*& values) {
    static PyObject* const type = py::dtype::of<T>().release().ptr();
    Py_INCREF(type);  // the array takes it
    const auto shape = static_cast<Py_intptr_t>(length);
    PyObject* const array = npy_api::get().PyArray_NewFromDescr_(npy_api::get().PyArray_Type_, type, 1,
                                                                 &shape, nullptr, nullptr, 0, nullptr);
    if (array != nullptr) values = reinterpret_cast<T*>(array_proxy(array)->data);
    return array;
}

PyObject* answer(const Asked& asked, PyObject* const* arguments) {
    const std::optional<Vectors> vector = values_of(arguments[0], asked.shape);
    if (!vector) return nullptr;
    const std::optional<Request> request = request_of(*asked.index, arguments + 1);
    if (!request) return nullptr;
    std::int32_t* ids = nullptr;
    float* distances = nullptr;
    auto id_array = py::reinterpret_steal<py::object>(new_array(request->k, ids));
    auto distance_array = py::reinterpret_steal<py::object>(new_array(request->k, distances));
    if (!id_array || !distance_array) return nullptr;
    {
        const py::gil_scoped_release release;
        asked.index->query(*vector, 1, *request, ids, distances);
    }
    PyObject* const pair = PyTuple_New(2);
    if (pair == nullptr) return nullptr;
    PyTuple_SET_ITEM(pair, 0, id_array.release().ptr());
    PyTuple_SET_ITEM(pair, 1, distance_array.release().ptr());
    return pair;
}

PyObject* quick_query(PyObject* capsule, PyObject* const* arguments, Py_ssize_t count) {
    [[maybe_unused]] const Slowdown slowdown;
    constexpr Py_ssize_t wanted = 5;
    PyObject* found = nullptr;
    if (count == wanted) {
        try {
            found =
                answer(*static_cast<const Asked*>(PyCapsule_GetPointer(capsule, capsule_name)), arguments);
        } catch (const std::exception&) {  // the slow way throws it again, and there it is told
            found = nullptr;
        }
    }
    if (found != nullptr) return found;
    PyErr_Clear();
    Py_RETURN_NONE;
}

PyMethodDef definition = {"quick_query",
                          reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&quick_query)),
                          METH_FASTCALL, nullptr};

}  // namespace

py::object quick_query_of(const py::object& index) {
    const Index& asked = index.cast<const Index&>();
    const auto forget = [](PyObject* capsule) {
        auto* const done = static_cast<Asked*>(PyCapsule_GetPointer(capsule, capsule_name));
        Py_DECREF(done->owner);
        delete done;
    };
    auto* const made = new Asked{&asked, index.inc_ref().ptr(), asked.shape()};
    const auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(made, capsule_name, forget));
    if (!capsule) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(PyCFunction_New(&definition, capsule.ptr()));
}

}  // namespace ann_bench
