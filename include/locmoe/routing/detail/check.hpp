#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "locmoe/core/error.hpp"
#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/routing/detail/widest.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0::detail {

/// Throws argument_error unless a view is `[want_rows, want_cols]`. Without rows there is no cell
/// to disagree about, so that an empty view passes where none are wanted.
template <class View>
void check_shape(std::string_view function, std::string_view argument, const View& view,
                 std::size_t want_rows, std::size_t want_cols, rank_id rank = no_rank) {
    if (view.rows == want_rows && (view.cols == want_cols || want_rows == 0)) return;
    throw_argument(function, argument, concat("[", want_rows, ", ", want_cols, "]"),
                   concat("[", view.rows, ", ", view.cols, "]"), rank);
}

/// Throws argument_error unless topology and placement fit together, `where.rank` is one of their
/// ranks and there are `experts` experts.
inline void check_context(std::string_view function, std::size_t experts,
                          const route_context& where) {
    if (where.placement.expert_count() != experts)
        throw_argument(function, "placement", concat(experts, " experts (the router's)"),
                       concat(where.placement.expert_count()), where.rank);
    if (where.placement.rank_count() != where.nodes.rank_count())
        throw_argument(function, "placement",
                       concat(where.nodes.rank_count(), " ranks (the topology's)"),
                       concat(where.placement.rank_count()), where.rank);
    if (where.rank < 0 || static_cast<std::size_t>(where.rank) >= where.nodes.rank_count())
        throw_argument(function, "where.rank", concat("0 to ", where.nodes.rank_count() - 1),
                       concat(where.rank));
}

/// Throws argument_error where one of a token's logits is NaN or infinite.
template <class Real>
void check_logits(std::span<const Real> row, std::size_t token, rank_id rank) {
    if (widest<row_is_finite<Real>>(row.data(), row.size())) return;
    for (const Real z : row)
        if (!(z - z == 0))
            throw_argument("route", concat("logits of token ", token), "finite numbers",
                           z != z ? "nan" : z > 0 ? "inf" : "-inf", rank);
}

/// The domain of a token. Throws argument_error unless `where` has one, 0 to `domains` - 1.
inline std::size_t domain_of(std::size_t token, std::size_t domains, const route_context& where) {
    if (token >= where.domains.size())
        throw_argument("route", "where.domains", concat("a domain for token ", token),
                       concat(where.domains.size(), " domains"), where.rank);
    const auto domain = where.domains[token];
    if (domain < 0 || static_cast<std::size_t>(domain) >= domains)
        throw_argument("route", concat("domain of token ", token), concat("0 to ", domains - 1),
                       concat(domain), where.rank);
    return static_cast<std::size_t>(domain);
}

}  // namespace locmoe::detail
