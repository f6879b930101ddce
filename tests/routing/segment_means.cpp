#include "locmoe/routing/detail/segment_means.hpp"

#include <vector>

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using namespace locmoe;

}  // namespace

TEMPLATE_TEST_CASE("means of eight segments at once have the bits of one by one", "", float, bf16,
                   fp16) {
    for (const std::size_t count : {1u, 7u, 8u, 9u, 16u, 23u})
        for (const std::size_t length : {1u, 2u, 3u, 4u, 5u, 15u, 16u, 17u, 20u, 32u, 47u, 64u}) {
            std::vector<TestType> x;
            for (const double v : routing_test::numbers(count * length, count + length))
                x.push_back(element_traits<TestType>::store(float(v)));
            std::vector<float> at_once(count), alone(count);
            detail::segment_means(x.data(), length, count, at_once.data());
            detail::segment_means_plain(x.data(), length, count, alone.data());
            INFO(count << " segments of " << length);
            CHECK(at_once == alone);
        }
}
