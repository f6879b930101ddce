#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// What a cluster file may hold at most, so that none can ask for all the memory there is.
inline constexpr std::size_t most_cluster_ranks = std::size_t{1} << 20;
inline constexpr std::size_t most_cluster_bytes = std::size_t{1} << 24;

namespace detail {

/// Takes a cluster file token by token. nlohmann's parser says what the tokens are, and where
/// reading stopped if they are no JSON; a cursor of our own, which goes to the next token at each
/// event, says where they stand. Throws argument_error at the first that does not fit, so that
/// nothing nests deeper than a cluster does.
class cluster_reader {
  public:
    cluster_reader(std::string_view text, std::string_view name) : text_(text), name_(name) {
        if (text.substr(0, 3) == "\xEF\xBB\xBF") text_.remove_prefix(3);  // a byte order mark
        if (text.size() > most_cluster_bytes)
            refuse_at(0, concat("expected at most ", most_cluster_bytes, " bytes, got more"));
    }
    cluster_reader(const cluster_reader&) = delete;  // fields_ points into it
    cluster_reader& operator=(const cluster_reader&) = delete;

    std::pair<topology, cluster_costs> read() {
        nlohmann::json::sax_parse(text_.begin(), text_.end(), this);
        if (seen("leaves")) costs_.leaves = leaves_;
        return {topology::from_node_of_rank(std::move(node_of_rank_)), costs_};
    }

    bool null() { return refuse_token(); }
    bool boolean(bool) { return refuse_token(); }
    bool number_integer(std::int64_t value) { return number(static_cast<double>(value)); }
    bool number_unsigned(std::uint64_t value) { return number(static_cast<double>(value), value); }
    bool number_float(double value, const std::string&) { return number(value); }
    bool string(const std::string& value) {
        advance();
        if (value != "unlimited" || !field_ || field_->is != kind::bandwidth || array_)
            refuse(token());
        *field_->number = std::numeric_limits<double>::infinity();
        return true;
    }
    bool binary(const std::vector<std::uint8_t>&) { return refuse_token(); }

    bool start_object(std::size_t) {
        advance();
        if (!open_) {
            open_ = true;
            return true;
        }
        if (!section_.empty() || array_ || !field_ ||
            (field_->is != kind::section && field_->is != kind::nodes))
            refuse("an object");
        section_ = field_->key;
        section_at_ = at_;
        return true;
    }

    bool key(const std::string& key) {
        advance();
        field_ = nullptr;
        std::string known;
        for (field& f : fields_) {
            if (f.section != section_) continue;
            if (f.key == key) field_ = &f;
            known += concat(known.empty() ? "" : ", ", f.key);
        }
        const std::string_view where = section_.empty() ? "a cluster" : section_;
        if (!field_) refuse_at(at_, concat("unknown key ", token(), "; ", where, " has ", known));
        if (std::exchange(field_->seen, true))
            refuse_at(at_, concat(path(), ": stands here a second time"));
        if ((field_->is == kind::nodes || field_->is == kind::node_of_rank) && seen("nodes") &&
            seen("node_of_rank"))
            refuse_at(at_, "nodes and node_of_rank: expected one of them, got both");
        return true;
    }

    bool end_object() {
        advance();
        if (section_ == "nodes") end_node_counts();
        if (section_.empty() && !seen("nodes") && !seen("node_of_rank"))
            refuse_at(at_, "expected nodes or node_of_rank, got neither");
        section_ = {};
        field_ = nullptr;
        return true;
    }

    bool start_array(std::size_t) {
        advance();
        if (array_ || !field_ || (field_->is != kind::nodes && field_->is != kind::node_of_rank))
            refuse("an array");
        array_ = true;
        section_at_ = at_;
        return true;
    }

    bool end_array() {
        advance();
        array_ = false;
        if (node_of_rank_.empty())
            refuse_at(section_at_, concat(path(), ": expected at least one rank, got none"));
        if (field_->is == kind::node_of_rank) check_node_ids();
        field_ = nullptr;
        return true;
    }

    bool parse_error(std::size_t bytes_read, const std::string&,
                     const nlohmann::json::exception& e) {
        constexpr int number_overflow = 406;
        if (e.id == number_overflow) return refuse_token();
        std::string_view words = e.what();
        if (const auto at = words.find("column "); at != words.npos)
            if (const auto end = words.find(": ", at); end != words.npos)
                words.remove_prefix(end + 2);
        // What was last read is the file's, and may be of any length and no text at all.
        std::string reason(words.substr(0, words.find("; last read: ")));
        if (const auto at = words.rfind("; expected "); at != words.npos && at >= reason.size())
            reason += printable(words.substr(at));
        std::size_t offset = bytes_read == 0 ? 0 : bytes_read - 1;
        advance();  // of a whole token that does not belong there, the parser gives the end
        if (reason.find("unexpected") != reason.npos && at_ < offset) offset = at_;
        refuse_at(offset, reason);
    }

  private:
    enum class kind {
        section,
        nodes,
        node_of_rank,
        count,
        seconds,
        finite_bandwidth,
        bandwidth,
        fraction,
        sharers
    };

    struct field {
        std::string_view section, key;
        kind is;
        double* number = nullptr;
        std::size_t* count = nullptr;
        bool seen = false;
    };

    static bool one_of(char c, std::string_view set) { return set.find(c) != set.npos; }

    /// To the next token. The parser has found it well-formed, but for the last before an error.
    void advance() {
        constexpr std::string_view between = " \t\r\n,:";
        constexpr std::string_view brackets = "{}[]";
        const std::size_t size = text_.size();
        while (end_ < size && one_of(text_[end_], between)) ++end_;
        at_ = end_;
        if (at_ == size) return;
        ++end_;
        if (text_[at_] == '"') {
            while (end_ < size && text_[end_] != '"') end_ += text_[end_] == '\\' ? 2u : 1u;
            end_ = end_ < size ? end_ + 1 : size;
        } else if (!one_of(text_[at_], brackets)) {
            while (end_ < size && !one_of(text_[end_], between) && !one_of(text_[end_], brackets))
                ++end_;
        }
    }

    /// At most 40 characters, none that a terminal would obey.
    static std::string printable(std::string_view text) {
        std::string shown(text.substr(0, 40));
        for (char& c : shown)
            if (c < ' ' || c > '~') c = '?';
        return text.size() > shown.size() ? shown + "..." : shown;
    }
    std::string token() const { return printable(text_.substr(at_, end_ - at_)); }

    std::string path() const {
        if (!field_) return "";
        std::string text =
            section_.empty() ? std::string(field_->key) : concat(section_, ".", field_->key);
        if (array_) text += concat("[", entries_, "]");
        return text;
    }

    std::string expected() const {
        if (!field_) return "an object";
        if (array_)
            return field_->is == kind::nodes
                       ? concat("ranks of a node, 1 or more, of all nodes at most ",
                                most_cluster_ranks)
                       : concat("a node, 0 to ", most_cluster_ranks - 1);
        switch (field_->is) {
            case kind::section: return "an object";
            case kind::nodes: return "an array of ranks a node, or an object of count and ranks";
            case kind::node_of_rank: return "an array of nodes";
            case kind::count: return concat("a whole number, 1 to ", most_cluster_ranks);
            case kind::seconds: return "seconds, 0 or more";
            case kind::finite_bandwidth: return "bytes a second above 0";
            case kind::fraction: return "0 or more";
            case kind::sharers: return "1 or more nodes";
            case kind::bandwidth: return "bytes a second above 0, or \"unlimited\"";
        }
        return "";
    }

    [[noreturn]] void refuse_at(std::size_t offset, const std::string& reason) const {
        std::size_t line = 1;
        std::size_t column = 1;
        for (std::size_t i = 0; i < offset && i < text_.size(); ++i) {
            column = text_[i] == '\n' ? 1 : column + 1;
            line += text_[i] == '\n';
        }
        throw argument_error(concat(name_, ":", line, ":", column, ": ", reason));
    }
    [[noreturn]] void refuse(std::string_view got) const {
        refuse_at(at_, concat(path(), field_ ? ": " : "", "expected ", expected(), ", got ", got));
    }
    bool refuse_token() {
        advance();
        refuse(token());
    }

    static constexpr std::uint64_t not_whole = std::numeric_limits<std::uint64_t>::max();

    bool number(double value, std::uint64_t whole = not_whole) {
        advance();
        if (!field_) refuse(token());
        if (array_) {
            add_entry(whole);
            return true;
        }
        bool fits = false;
        switch (field_->is) {
            case kind::count:
                fits = whole >= 1 && whole <= most_cluster_ranks;
                if (fits) *field_->count = static_cast<std::size_t>(whole);
                break;
            case kind::seconds:
            case kind::fraction: fits = value >= 0; break;
            case kind::sharers: fits = value >= 1; break;
            case kind::finite_bandwidth:
            case kind::bandwidth: fits = value > 0; break;
            default: break;
        }
        if (!fits) refuse(token());
        if (field_->number) *field_->number = value;
        return true;
    }

    void add_entry(std::uint64_t whole) {
        if (field_->is == kind::node_of_rank) {
            if (whole >= most_cluster_ranks) refuse(token());
            if (node_of_rank_.size() == most_cluster_ranks)
                refuse_at(at_, concat(path(), ": expected at most ", most_cluster_ranks, " ranks"));
            node_of_rank_.push_back(static_cast<node_id>(whole));
            entry_at_.push_back(at_);
        } else {
            if (whole == 0 || whole > most_cluster_ranks - node_of_rank_.size()) refuse(token());
            node_of_rank_.insert(node_of_rank_.end(), static_cast<std::size_t>(whole),
                                 static_cast<node_id>(entries_));
        }
        ++entries_;
    }

    /// "nodes": {"count": 8, "ranks": 8}
    void end_node_counts() {
        if (count_ == 0 || ranks_ == 0)
            refuse_at(at_,
                      concat("nodes: expected count and ranks, got ", count_ > 0   ? "count alone"
                                                                      : ranks_ > 0 ? "ranks alone"
                                                                                   : "neither"));
        if (count_ * ranks_ > most_cluster_ranks)
            refuse_at(section_at_, concat("nodes: expected at most ", most_cluster_ranks,
                                          " ranks, got ", count_, " times ", ranks_));
        for (std::size_t node = 0; node < count_; ++node)
            node_of_rank_.insert(node_of_rank_.end(), ranks_, static_cast<node_id>(node));
    }

    /// Only the whole array tells how many nodes there are.
    void check_node_ids() const {
        std::vector<bool> has_rank(node_of_rank_.size(), false);
        std::size_t nodes = 0;
        for (std::size_t r = 0; r < node_of_rank_.size(); ++r) {
            const auto node = static_cast<std::size_t>(node_of_rank_[r]);
            if (node >= has_rank.size())
                refuse_at(entry_at_[r], concat("node_of_rank[", r, "]: expected a node, 0 to ",
                                               has_rank.size() - 1, " for ", has_rank.size(),
                                               " ranks, got ", node));
            has_rank[node] = true;
            if (node >= nodes) nodes = node + 1;
        }
        for (std::size_t node = 0; node < nodes; ++node)
            if (!has_rank[node])
                refuse_at(section_at_, concat("node_of_rank: expected a rank on each node, 0 to ",
                                              nodes - 1, ", got none on node ", node));
    }

    /// Of the outermost object's keys.
    bool seen(std::string_view key) const {
        for (const field& f : fields_)
            if (f.section.empty() && f.key == key) return f.seen;
        return false;
    }

    std::string_view text_;
    std::string_view name_;
    std::size_t at_ = 0;   // where the token begins
    std::size_t end_ = 0;  // and ends

    bool open_ = false;           // the outermost object has begun
    std::string_view section_;    // the object inside it, or none
    bool array_ = false;          // an array inside it
    std::size_t section_at_ = 0;  // where that began
    field* field_ = nullptr;      // the key that was last read

    std::vector<node_id> node_of_rank_;
    std::vector<std::size_t> entry_at_;
    std::size_t entries_ = 0;
    std::size_t count_ = 0;
    std::size_t ranks_ = 0;
    cluster_costs costs_;
    leaf_switches leaves_;
    intra_node_costs& inside_ = costs_.intra_node;
    inter_node_costs& between_ = costs_.inter_node;
    std::vector<field> fields_ = {
        {"", "nodes", kind::nodes},
        {"", "node_of_rank", kind::node_of_rank},
        {"", "intra_node", kind::section},
        {"", "inter_node", kind::section},
        {"", "leaves", kind::section},
        {"", "pack_bandwidth", kind::bandwidth, &costs_.pack_bandwidth},
        {"nodes", "count", kind::count, nullptr, &count_},
        {"nodes", "ranks", kind::count, nullptr, &ranks_},
        {"intra_node", "latency", kind::seconds, &inside_.latency},
        {"intra_node", "overhead", kind::seconds, &inside_.overhead},
        {"intra_node", "message_bandwidth", kind::finite_bandwidth, &inside_.message_bandwidth},
        {"intra_node", "rank_bandwidth", kind::bandwidth, &inside_.rank_bandwidth},
        {"inter_node", "latency", kind::seconds, &between_.latency},
        {"inter_node", "overhead", kind::seconds, &between_.overhead},
        {"inter_node", "rank_bandwidth", kind::bandwidth, &between_.rank_bandwidth},
        {"inter_node", "nic_bandwidth", kind::finite_bandwidth, &between_.nic_bandwidth},
        {"inter_node", "fan_in_loss", kind::fraction, &between_.fan_in_loss},
        {"inter_node", "fan_in_free", kind::sharers, &between_.fan_in_free},
        {"leaves", "nodes", kind::count, nullptr, &leaves_.nodes},
        {"leaves", "uplink_bandwidth", kind::bandwidth, &leaves_.uplink_bandwidth},
        {"leaves", "latency", kind::seconds, &leaves_.latency},
    };
};

}  // namespace detail
}  // namespace locmoe
