#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"

namespace plan_program {

using locmoe::detail::concat;

/// An array of expert ids as a file holds it: [T, k] or [P, T, k].
struct expert_ids {
    std::vector<std::size_t> shape;
    std::vector<locmoe::expert_id> ids;
};

[[noreturn]] inline void refuse(const std::string& file, const std::string& expected,
                                const std::string& got) {
    throw locmoe::argument_error(concat(file, ": expected ", expected, ", got ", got));
}

inline std::string shape_text(const std::vector<std::size_t>& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) text += concat(i == 0 ? "" : ", ", shape[i]);
    return text + "]";
}

/// Where the entry `number` of an array stands: "[3][1]".
inline std::string entry_text(const std::vector<std::size_t>& shape, std::size_t number) {
    std::string text;
    for (std::size_t i = shape.size(); i-- > 0;) {
        text = concat("[", number % shape[i], "]") + text;
        number /= shape[i];
    }
    return text;
}

inline locmoe::expert_id checked_id(const std::string& file, const std::string& where,
                                    std::int64_t id) {
    if (id < -1 || id > std::int64_t{2147483647} - 1)
        refuse(concat(file, ": ", where), "an expert's id, 0 to 2147483646, or -1 for none",
               concat(id));
    return static_cast<locmoe::expert_id>(id);
}

inline std::string read_whole(const std::string& file) {
    std::error_code failed;
    if (!std::filesystem::is_regular_file(file, failed))
        refuse(file, "a file", "none of that name");
    std::ifstream in(file, std::ios::binary);
    std::string text(static_cast<std::size_t>(std::filesystem::file_size(file)), '\0');
    if (!in.read(text.data(), static_cast<std::streamsize>(text.size())))
        refuse(file, "a file that can be read", "one that cannot");
    return text;
}

}  // namespace plan_program
