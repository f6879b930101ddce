#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "expert_ids.hpp"

namespace plan_program {

/// Takes nested arrays of ids, [[e, e], [e, e], ...] or one such array a rank, event by event, so
/// that a large file needs little more memory than its ids.
class json_ids_reader {
  public:
    explicit json_ids_reader(std::string file) : file_(std::move(file)) {}

    expert_ids read(const std::string& text) {
        nlohmann::json::sax_parse(text, this);
        return {std::move(length_), std::move(ids_)};
    }

    bool null() { return no_id("null"); }
    bool boolean(bool value) { return no_id(value ? "true" : "false"); }
    bool number_integer(std::int64_t value) { return id(value); }
    bool number_unsigned(std::uint64_t value) {
        if (value > 0x7fffffffffffffffu) return no_id(std::to_string(value));
        return id(static_cast<std::int64_t>(value));
    }
    bool number_float(double, const std::string& text) { return no_id(text); }
    bool string(const std::string&) { return no_id("a string"); }
    bool binary(const std::vector<std::uint8_t>&) { return no_id("bytes"); }
    bool start_object(std::size_t) { return no_id("an object"); }
    bool key(const std::string&) { return no_id("an object"); }
    bool end_object() { return no_id("an object"); }

    bool start_array(std::size_t) {
        if (depth_ > 0 && depth_ == length_.size() && !ids_.empty())
            refuse(place(), "an id, as before", "an array");
        if (depth_ == 3) refuse(place(), "an id", "an array in the fourth dimension");
        if (depth_ > 0) ++count_[depth_ - 1];
        count_[depth_++] = 0;
        return true;
    }

    bool end_array() {
        --depth_;
        const std::string where = depth_ == 0 ? file_ : concat(file_, ": ", path(1));
        if (count_[depth_] == 0) refuse(where, "at least one entry", "an empty array");
        if (!closed_[depth_]) {
            closed_[depth_] = true;
            if (length_.size() <= depth_) length_.resize(depth_ + 1);
            length_[depth_] = count_[depth_];
        } else if (length_[depth_] != count_[depth_]) {
            refuse(where, concat(length_[depth_], " entries, as in those before"),
                   concat(count_[depth_]));
        }
        if (depth_ == 0 && length_.size() < 2)
            refuse(file_, "arrays in an array: [T][k] or [P][T][k]", "one array of ids");
        return true;
    }

    bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception&) {
        refuse(file_, "JSON", concat("something else at byte ", at));
    }

  private:
    bool id(std::int64_t value) {
        if (depth_ == 0) return no_id("a number");
        if (ids_.empty()) length_.resize(depth_);
        if (depth_ != length_.size()) refuse(place(), "an array, as before", "a number");
        ids_.push_back(checked_id(file_, path(), value));
        ++count_[depth_ - 1];
        return true;
    }

    [[noreturn]] bool no_id(const std::string& got) const {
        refuse(place(), depth_ == 0 ? "an array" : "an id or an array", got);
    }

    /// Of the next entry, or of the last where it has been counted.
    std::string path(std::size_t counted = 0) const {
        std::string text;
        for (std::size_t d = 0; d < depth_; ++d)
            text += concat("[", count_[d] - (d + 1 < depth_ ? 1 : counted), "]");
        return text;
    }
    std::string place() const { return depth_ == 0 ? file_ : concat(file_, ": ", path()); }

    std::string file_;
    std::size_t depth_ = 0;
    std::size_t count_[3] = {0, 0, 0};        // entries so far of the array open at each depth
    bool closed_[3] = {false, false, false};  // whether one of them has ended
    std::vector<std::size_t> length_;
    std::vector<locmoe::expert_id> ids_;
};

}  // namespace plan_program
