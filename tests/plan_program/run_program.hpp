#pragma once

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"

/// A folder that is gone with the test.
struct scratch_folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("locmoe_plan_" + std::to_string(getpid()));
    scratch_folder() { std::filesystem::create_directory(path); }
    ~scratch_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;

    std::string operator/(const std::string& name) const { return (path / name).string(); }
    std::string write(const std::string& name, const std::string& bytes) const {
        std::ofstream(path / name, std::ios::binary) << bytes;
        return (path / name).string();
    }
};

struct ended {
    int code = -1;
    std::string out;
    std::string said;  ///< on standard error
};

inline std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

inline ended run(const std::string& command, const scratch_folder& folder) {
    ended e;
    FILE* pipe = popen((command + " 2>'" + (folder / "said") + "'").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 4096> buffer;
    for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
        e.out.append(buffer.data(), n);
    const int status = pclose(pipe);
    e.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    e.said = text_of(folder / "said");
    return e;
}
