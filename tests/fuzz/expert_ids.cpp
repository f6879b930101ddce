// Any bytes as a routing's file: refused with argument_error, or ids that fit the shape.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/bytes.hpp"
#include "json_ids.hpp"
#include "npy.hpp"

using namespace plan_program;

namespace {

void check(const expert_ids& read, std::size_t file_bytes) {
    if (read.shape.size() != 2 && read.shape.size() != 3) fuzz::found("a shape of no routing");
    std::size_t entries = 1;
    for (const std::size_t n : read.shape) entries *= n;
    if (entries != read.ids.size() || entries > file_bytes) fuzz::found("ids that are no shape's");
    for (const locmoe::expert_id id : read.ids)
        if (id < -1) fuzz::found("an id below -1");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const bool npy = size > 0 && text[0] == '\x93';
    try {
        check(npy ? npy_reader("fuzzed", text).read() : json_ids_reader("fuzzed").read(text), size);
    } catch (const locmoe::argument_error&) {
    }
    return 0;
}
