// A router of your own is a plain class, and so is your tensor: no base class, no registration.
//
// This one never sends a token over the network: of the experts on the token's own node it takes
// the one that the token's largest feature points at. It learns nothing, so that whatever a learned
// router sends between nodes has to earn more than this.

#include <cstdio>
#include <vector>

#include "locmoe/routing/router_policy.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

// Your tensor, whatever it is: here T tokens of d features in one block.
struct my_batch {
    std::size_t tokens, features;
    std::vector<float> numbers;
};

// [tensor]
// One specialisation says how its rows are found. All of locmoe reads it from then on.
template <>
struct locmoe::tensor_traits<my_batch> {
    using value_type = float;
    static std::size_t rows(const my_batch& b) { return b.tokens; }
    static std::size_t cols(const my_batch& b) { return b.features; }
    static std::size_t row_stride(const my_batch& b) { return b.features; }
    static const float* data(const my_batch& b) { return b.numbers.data(); }
};
// [tensor]

// [router]
class stay_home_router {
  public:
    using real = float;

    explicit stay_home_router(std::size_t experts) : experts_(experts) {}

    std::size_t expert_count() const { return experts_; }

    template <class Tensor>
    locmoe::routing route(const Tensor& tokens, const locmoe::route_context& where) const {
        std::vector<locmoe::expert_id> home;
        for (const auto rank : where.nodes.ranks_of(where.nodes.node_of(where.rank)))
            for (const auto expert : where.placement.experts_of(rank)) home.push_back(expert);
        if (home.empty()) home.push_back(0);  // a node without experts has to send somewhere

        const auto x = locmoe::view_of(tokens);
        locmoe::routing decided{.token_count = x.rows, .choice_count = 1, .expert_count = experts_};
        for (std::size_t t = 0; t < x.rows; ++t) {
            std::size_t largest = 0;
            for (std::size_t j = 1; j < x.cols; ++j)
                if (x(t, j) > x(t, largest)) largest = j;
            decided.chosen.push_back(home[largest % home.size()]);
            decided.weights.push_back(1.0f);
        }
        return decided;
    }

  private:
    std::size_t experts_;
};

static_assert(locmoe::router_policy<stay_home_router, my_batch>);
// [router]

int main() {
    const auto nodes = locmoe::topology::uniform(2, 2);              // two nodes of two ranks
    const auto placement = locmoe::expert_placement::blocked(8, 4);  // two experts a rank
    const my_batch batch{3, 3, {.1f, .9f, .2f, .7f, .1f, .3f, .2f, .8f, .3f}};
    const stay_home_router router(8);
    for (const locmoe::rank_id rank : {0, 3}) {
        const auto decided = router.route(batch, {rank, nodes, placement});
        locmoe::check_routing(decided, placement, rank);
        std::printf("rank %d, tokens per expert:", rank);
        for (const auto load : locmoe::count_choices(decided))
            std::printf(" %lld", static_cast<long long>(load));
        std::printf("\n");
    }
}
