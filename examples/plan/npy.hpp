#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "expert_ids.hpp"

namespace plan_program {

/// Reads what numpy.save writes (format versions 1 to 3), of int32 or int64 in either byte order, C
/// order. Nothing is believed that the file's size does not bear out.
class npy_reader {
  public:
    npy_reader(std::string file, std::string_view bytes) : file_(std::move(file)), bytes_(bytes) {}

    expert_ids read() {
        read_header();
        std::size_t entries = 1;
        for (const std::size_t n : read_.shape) {
            if (n != 0 && entries > bytes_.size() / n) refuse_size();
            entries *= n;
        }
        if (entries != data_.size() / item_bytes_ || data_.size() % item_bytes_ != 0) refuse_size();
        read_.ids.reserve(entries);
        for (std::size_t i = 0; i < entries; ++i)
            read_.ids.push_back(checked_id(file_, entry_text(read_.shape, i), entry(i)));
        return std::move(read_);
    }

  private:
    void read_header() {
        constexpr std::size_t most_header = 65535;  // all that version 1 can have
        if (bytes_.size() < 10 || bytes_.substr(0, 6) != "\x93NUMPY")
            refuse(file_, "a .npy file", "one that does not begin as one");
        const unsigned version = byte(6);
        if (version < 1 || version > 3 || byte(7) != 0)
            refuse(file_, "version 1.0, 2.0 or 3.0 of .npy", concat(version, ".", byte(7)));
        const std::size_t begin = version == 1 ? 10 : 12;
        std::size_t length = byte(8) + 256u * byte(9);
        if (version > 1 && bytes_.size() >= begin)
            length += 65536u * byte(10) + 16777216u * byte(11);
        if (length > most_header || begin > bytes_.size() || length > bytes_.size() - begin)
            refuse(file_, concat("a header of at most ", most_header, " bytes that is all there"),
                   concat("one of ", length, " bytes in a file of ", bytes_.size()));
        header_ = bytes_.substr(begin, length);
        data_ = bytes_.substr(begin + length);

        bool has_type = false, has_order = false, has_shape = false;
        take('{');
        while (!next_is('}')) {
            const std::string key = quoted();
            take(':');
            if (key == "descr" && !std::exchange(has_type, true))
                read_type();
            else if (key == "fortran_order" && !std::exchange(has_order, true))
                read_order();
            else if (key == "shape" && !std::exchange(has_shape, true))
                read_shape();
            else
                refuse(file_, "descr, fortran_order and shape in its header, each once",
                       printable(key));
            if (!next_is('}')) take(',');
        }
        take('}');
        if (skip_blank(); at_ != header_.size()) refuse_header();
        if (!has_type || !has_order || !has_shape)
            refuse(file_, "descr, fortran_order and shape in its header", "fewer");
    }

    void read_type() {
        skip_blank();
        if (at_ < header_.size() && header_[at_] == '[')
            refuse(file_, "int32 or int64", "records of several types");
        const std::string type = quoted();
        big_endian_ = type == ">i4" || type == ">i8";
        if (type == "<i4" || type == ">i4")
            item_bytes_ = 4;
        else if (type == "<i8" || type == ">i8")
            item_bytes_ = 8;
        else
            refuse(file_, "int32 or int64 (descr '<i4', '>i4', '<i8' or '>i8')", printable(type));
    }

    void read_order() {
        if (take_word("False")) return;
        if (take_word("True"))
            refuse(file_, "C order", "Fortran order (numpy.ascontiguousarray mends it)");
        refuse_header();
    }

    void read_shape() {
        take('(');
        while (!next_is(')')) {
            const std::size_t begin = at_;
            std::size_t n = 0;
            for (; at_ < header_.size() && header_[at_] >= '0' && header_[at_] <= '9'; ++at_) {
                if (at_ - begin == 18) refuse_size();
                n = 10 * n + (byte_of(header_[at_]) - unsigned{'0'});
            }
            if (at_ == begin) refuse_header();
            read_.shape.push_back(n);
            if (read_.shape.size() > 3) break;
            if (!next_is(')')) take(',');
        }
        if (read_.shape.size() != 2 && read_.shape.size() != 3)
            refuse(file_, "a shape [T, k] or [P, T, k]",
                   read_.shape.size() > 3 ? "more than 3 dimensions"
                                          : concat("[", read_.shape.empty() ? "" : "T", "]"));
        take(')');
    }

    std::int64_t entry(std::size_t i) const {
        std::uint64_t bits = 0;
        for (std::size_t b = 0; b < item_bytes_; ++b) {
            const std::size_t at = big_endian_ ? b : item_bytes_ - 1 - b;
            bits = bits << 8 | byte_of(data_[i * item_bytes_ + at]);
        }
        return item_bytes_ == 4 ? static_cast<std::int32_t>(static_cast<std::uint32_t>(bits))
                                : static_cast<std::int64_t>(bits);
    }

    void skip_blank() {
        while (at_ < header_.size() && (header_[at_] == ' ' || header_[at_] == '\n')) ++at_;
    }
    bool next_is(char c) {
        skip_blank();
        return at_ < header_.size() && header_[at_] == c;
    }
    void take(char c) {
        if (!next_is(c)) refuse_header();
        ++at_;
    }
    bool take_word(std::string_view word) {
        skip_blank();
        if (header_.substr(at_, word.size()) != word) return false;
        at_ += word.size();
        return true;
    }
    std::string quoted() {
        skip_blank();
        if (at_ >= header_.size() || (header_[at_] != '\'' && header_[at_] != '"')) refuse_header();
        const std::size_t end = header_.find(header_[at_], at_ + 1);
        if (end == header_.npos) refuse_header();
        const std::string text(header_.substr(at_ + 1, end - at_ - 1));
        at_ = end + 1;
        return text;
    }

    /// Short, and nothing that a terminal would obey.
    static std::string printable(std::string text) {
        if (text.size() > 40) text = text.substr(0, 40) + "...";
        for (char& c : text)
            if (c < ' ' || c > '~') c = '?';
        return concat("'", text, "'");
    }
    static unsigned byte_of(char c) { return static_cast<unsigned char>(c); }
    unsigned byte(std::size_t i) const { return byte_of(bytes_[i]); }

    [[noreturn]] void refuse_header() const {
        refuse(file_, "the header that numpy.save writes", concat("another at its byte ", at_));
    }
    [[noreturn]] void refuse_size() const {
        refuse(file_, "as many bytes as its shape asks for", concat("a file of ", bytes_.size()));
    }

    std::string file_;
    std::string_view bytes_;
    std::string_view header_;
    std::string_view data_;
    std::size_t at_ = 0;  // in the header
    std::size_t item_bytes_ = 4;
    bool big_endian_ = false;
    expert_ids read_;
};

}  // namespace plan_program
