#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "locmoe/core/error.hpp"

namespace trainer {

/// A stretch of text whose bytes follow each other in the file they come from.
using text = std::span<const std::uint8_t>;

/// One kind of text: the first nine tenths of each of its files to train on, the rest held out.
struct domain {
    std::string name;
    std::vector<std::vector<std::uint8_t>> files;

    static std::size_t held_out_bytes(std::size_t file_bytes) { return file_bytes / 10; }

    std::vector<text> training() const {
        std::vector<text> parts;
        for (const auto& file : files)
            parts.push_back(text(file).first(file.size() - held_out_bytes(file.size())));
        return parts;
    }

    std::vector<text> held_out() const {
        std::vector<text> parts;
        for (const auto& file : files)
            parts.push_back(text(file).last(held_out_bytes(file.size())));
        return parts;
    }
};

inline std::vector<std::uint8_t> read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file),
                                    std::istreambuf_iterator<char>()};
    if (!file) throw locmoe::argument_error("cannot read " + path.string());
    return bytes;
}

/// The domains of a folder, by name: each subfolder with `.txt` files (all of them, by name), and
/// each
/// `.txt` file that lies in the folder itself. Throws argument_error where there is none.
inline std::vector<domain> read_domains(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    const auto sorted = [](const fs::path& where) {
        std::vector<fs::path> paths;
        for (const auto& entry : fs::directory_iterator(where)) paths.push_back(entry.path());
        std::sort(paths.begin(), paths.end());
        return paths;
    };
    const auto is_text = [](const fs::path& path) {
        return fs::is_regular_file(path) && path.extension() == ".txt";
    };
    if (!fs::is_directory(folder))
        throw locmoe::argument_error("no such folder: " + folder.string());

    std::vector<domain> domains;
    for (const fs::path& path : sorted(folder)) {
        domain found{path.stem().string(), {}};
        if (is_text(path)) {
            found.files.push_back(read_file(path));
        } else if (fs::is_directory(path)) {
            for (const fs::path& file : sorted(path))
                if (is_text(file)) found.files.push_back(read_file(file));
        }
        if (!found.files.empty()) domains.push_back(std::move(found));
    }
    if (domains.empty())
        throw locmoe::argument_error("no .txt files in " + folder.string() + " or its folders");
    return domains;
}

}  // namespace trainer
