#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace locmoe::inline v0::detail {

/// Numbers keys from 0 on, in the order in which they are first asked for: a table at most half
/// full, looked through from a key's hash on. No key may be 2^64 - 1.
class key_numbers {
  public:
    std::size_t of(std::uint64_t key) {
        if (2 * count_ >= places_.size()) grow();
        entry& e = places_[place_of(key)];
        if (e.key == nothing) e = {key, count_++};
        return e.number;
    }

  private:
    static constexpr std::uint64_t nothing = ~std::uint64_t{0};

    struct entry {
        std::uint64_t key = nothing;
        std::size_t number = 0;
    };

    /// Where the key is, or would be.
    std::size_t place_of(std::uint64_t key) const {
        const std::size_t mask = places_.size() - 1;
        std::size_t place = static_cast<std::size_t>((key * 0x9e3779b97f4a7c15u) >> 32) & mask;
        while (places_[place].key != key && places_[place].key != nothing)
            place = (place + 1) & mask;
        return place;
    }

    void grow() {
        std::vector<entry> old(places_.empty() ? 64 : 2 * places_.size());
        std::swap(old, places_);
        for (const entry& e : old)
            if (e.key != nothing) places_[place_of(e.key)] = e;
    }

    std::vector<entry> places_;
    std::size_t count_ = 0;
};

}  // namespace locmoe::detail
