#include "section_file.hpp"

#include <cstdio>
#include <string>

#include "ann_bench/section_file.hpp"

namespace py = pybind11;

namespace ann_bench {
namespace {

py::dict describe(const Section& section) {
    char checksum[17];
    std::snprintf(checksum, sizeof checksum, "%016llx", static_cast<unsigned long long>(section.digest));
    py::dict facts;
    facts["name"] = section_name(section.type);
    facts["offset"] = section.offset;
    facts["bytes"] = section.bytes;
    facts["element_bytes"] = section.element_bytes;
    facts["elements"] = section.elements();
    facts["xxh3_64"] = checksum;
    return facts;
}

py::dict describe_file(const std::string& path) {
    const SectionFile file = SectionFile::open(path);
    const FileHeader& header = file.header();
    py::list sections;
    for (const Section& section : file.sections()) sections.append(describe(section));
    py::dict facts;
    facts["kind"] = name_of(header.kind);
    facts["file_version"] = std::to_string(header.major) + "." + std::to_string(header.minor);
    facts["bytes"] = header.file_bytes;
    facts["sections"] = sections;
    return facts;
}

}  // namespace

void bind_section_file(py::module_& module) {
    module.def("describe_file", &describe_file, py::arg("path"));
    module.def(
        "verify_file", [](const std::string& path) { SectionFile::open(path).verify(); }, py::arg("path"),
        py::call_guard<py::gil_scoped_release>());
}

}  // namespace ann_bench
