#include "ngram_baseline.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "random.hpp"

namespace {

using namespace trainer;

std::vector<std::uint8_t> bytes_of(const std::string& s) {
    return {s.begin(), s.end()};
}

/// Kneser and Ney's rule word for word, on maps of strings, for any order; slow.
class by_definition {
  public:
    explicit by_definition(const std::vector<std::string>& texts) {
        // counts[n]: of strings of n + 1 bytes; below the highest order, in how many contexts,
        // where a text's start is one more.
        for (const std::string& t : texts) {
            for (std::size_t i = 0; i + 3 <= t.size(); ++i) counts_[2][t.substr(i, 3)] += 1;
            if (t.size() > 1) counts_[1][t.substr(0, 2)] += 1;
            if (!t.empty()) counts_[0][t.substr(0, 1)] += 1;
        }
        for (std::size_t n = 2; n > 0; --n)
            for (const auto& [string, count] : counts_[n]) counts_[n - 1][string.substr(1)] += 1;
    }

    double probability(const std::string& context, char byte) const {
        const std::size_t n = context.size();
        const double lower = n == 0 ? 1.0 / 256 : probability(context.substr(1), byte);
        double total = 0, freed = 0, kept = 0;
        for (const auto& [string, count] : counts_[n]) {
            if (string.substr(0, n) != context) continue;
            total += count;
            freed += discount(n, count);
            if (string[n] == byte) kept = count - discount(n, count);
        }
        return total == 0 ? lower : (kept + freed * lower) / total;
    }

  private:
    double discount(std::size_t n, double count) const {
        double of[5] = {};
        for (const auto& [string, c] : counts_[n])
            for (int k = 1; k <= 4; ++k)
                if (c == k) ++of[k];
        const double y = of[1] + of[2] > 0 ? of[1] / (of[1] + 2 * of[2]) : 0.5;
        const int k = count > 3 ? 3 : static_cast<int>(count);
        const double d = of[k] > 0 ? k - (k + 1) * y * of[k + 1] / of[k] : 0.5;
        return d > 0 && d < k ? d : 0.5;
    }

    std::map<std::string, double> counts_[3];
};

const std::vector<std::string> tiny = {"abracadabra, abracadabra; cadabra",
                                       "the cat that sat, the rat", "x", ""};

}  // namespace

TEST_CASE("The order-2 baseline is Kneser and Ney's rule by its definition") {
    std::vector<std::vector<std::uint8_t>> kept;
    for (const std::string& s : tiny) kept.push_back(bytes_of(s));
    const ngram_baseline fast({kept.begin(), kept.end()});
    const by_definition slow(tiny);
    const std::string symbols = "abcdr,; thesx!";
    for (const char a : symbols)
        for (const char b : symbols)
            for (const char c : symbols) {
                INFO(a << b << c);
                const auto u = [](char x) { return static_cast<std::uint8_t>(x); };
                CHECK(fast.probability(u(a), u(b), u(c)) ==
                      Approx(slow.probability({a, b}, c)).epsilon(1e-12));
                CHECK(fast.probability(u(b), u(c)) ==
                      Approx(slow.probability({b}, c)).epsilon(1e-12));
                CHECK(fast.probability(u(c)) == Approx(slow.probability("", c)).epsilon(1e-12));
            }

    const std::string held = "the cadabra!";
    double bits = -std::log2(slow.probability("", held[0])) -
                  std::log2(slow.probability(held.substr(0, 1), held[1]));
    for (std::size_t i = 2; i < held.size(); ++i)
        bits -= std::log2(slow.probability(held.substr(i - 2, 2), held[i]));
    const auto held_bytes = bytes_of(held);
    CHECK(fast.bits_per_byte({held_bytes}) ==
          Approx(bits / static_cast<double>(held.size())).epsilon(1e-12));
}

TEST_CASE("The baseline's probabilities are positive and sum to 1 in every context") {
    std::vector<std::uint8_t> noise(3000);
    generator draw(5);
    for (auto& byte : noise) byte = static_cast<std::uint8_t>(draw.below(6) * draw.below(6));
    const ngram_baseline model({noise});
    for (std::size_t a = 0; a < 40; ++a)
        for (std::size_t b = 0; b < 40; ++b) {
            double sum = 0, least = 1;
            for (std::size_t c = 0; c < 256; ++c) {
                const double p =
                    model.probability(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b),
                                      static_cast<std::uint8_t>(c));
                sum += p;
                least = std::min(least, p);
            }
            INFO("context " << a << " " << b);
            CHECK(sum == Approx(1).epsilon(1e-12));
            CHECK(least > 0);
        }
}

TEST_CASE("Without training text the baseline says 8 bits a byte") {
    const ngram_baseline model({});
    const auto held = bytes_of("anything");
    CHECK(model.bits_per_byte({held}) == Approx(8));
    CHECK(model.bits_per_byte({}) == 0);
}
