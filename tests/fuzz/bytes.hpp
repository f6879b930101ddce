#pragma once

// What the fuzzers draw from the bytes that libFuzzer gives them. Past their end come zeros.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "small_job.hpp"

namespace fuzz {

class bytes {
  public:
    bytes(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

    bool empty() const { return at_ == end_; }
    std::uint8_t next() { return empty() ? std::uint8_t{0} : *at_++; }
    std::size_t below(std::size_t end) {
        std::size_t drawn = next();
        if (end > 256) drawn = drawn * 256 + next();
        return drawn % end;
    }
    std::uint64_t word() {
        std::uint64_t all = 0;
        for (int i = 0; i < 8; ++i) all = all << 8 | next();
        return all;
    }
    std::vector<std::uint8_t> list(std::size_t longest) {
        std::vector<std::uint8_t> all(below(longest + 1));
        for (std::uint8_t& value : all) value = next();
        return all;
    }

  private:
    const std::uint8_t* at_;
    const std::uint8_t* end_;
};

inline small_job::numbers job_numbers(bytes& from) {
    small_job::numbers n;
    n.strategy = from.next();
    n.order = static_cast<std::uint8_t>(from.below(5));
    n.choices = from.next();
    n.capacity = static_cast<std::uint8_t>(from.below(12));
    n.group_size = from.next();
    n.nodes = from.list(5);
    n.experts = from.list(7);
    const std::size_t ranks = from.below(6);
    for (std::size_t r = 0; r < ranks; ++r) n.chosen.push_back(from.list(10));
    return n;
}

[[noreturn]] inline void found(const std::string& what) {
    std::fprintf(stderr, "found: %s\n", what.c_str());
    std::abort();
}

}  // namespace fuzz
