#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "locmoe/plan/cost_estimate.hpp"
#include "locmoe/plan/detail/page_text.hpp"

namespace locmoe::inline v0::detail::page {

inline double seconds_of(std::int64_t nanoseconds) {
    return static_cast<double>(nanoseconds) * 1e-9;
}

inline std::string times_bound(const plan_choice& choice, std::int64_t nanoseconds) {
    if (choice.lower_bound <= 0) return "";
    char text[32];
    std::snprintf(text, sizeof text, "%.2f",
                  static_cast<double>(nanoseconds) / static_cast<double>(choice.lower_bound));
    return text;
}

/// The first line of the page: which strategy, and why.
inline std::string choice_sentence(const plan_choice& choice) {
    const cost_estimate& best = choice.chosen();
    if (!best.declined.empty())
        return concat(", as a fallback: no strategy fits, and this one declined, for ",
                      escaped(best.declined), ".");
    std::string text = concat(", chosen by price: one dispatch is estimated at ",
                              time_text(seconds_of(best.nanoseconds)));
    if (choice.lower_bound > 0)
        text += concat(", ", times_bound(choice, best.nanoseconds), " times the lower bound of ",
                       time_text(seconds_of(choice.lower_bound)));
    if (choice.candidates.size() > 1 && choice.candidates[1].declined.empty())
        text += concat(". Runner-up: ", escaped(choice.candidates[1].title()), ", ",
                       time_text(seconds_of(choice.candidates[1].nanoseconds)),
                       choice.candidates[1].nanoseconds < best.nanoseconds
                           ? ", equal as far as prices tell"
                           : "");
    return text + ".";
}

/// All candidates, the cheapest first; those that declined with their reasons.
inline std::string choice_table(const plan_choice& choice) {
    std::int64_t most = 1;
    for (const cost_estimate& c : choice.candidates)
        if (c.declined.empty() && c.nanoseconds > most) most = c.nanoseconds;
    std::string rows;
    for (const cost_estimate& c : choice.candidates) {
        rows += concat("<tr><td class=\"name\">", escaped(c.title()), "</td>");
        if (c.declined.empty())
            rows += concat(cell(time_text(seconds_of(c.nanoseconds))),
                           cell(times_bound(choice, c.nanoseconds)),
                           "<td class=\"name\"><span class=\"bar\" style=\"width:",
                           c.nanoseconds * 300 / most, "px\"></span></td></tr>\n");
        else
            rows += concat("<td class=\"why\" colspan=\"3\">declined, for ", escaped(c.declined),
                           "</td></tr>\n");
    }
    return concat(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Candidates\">"
        "<table><caption>Estimates for one dispatch of rows of ",
        bytes_text(static_cast<std::int64_t>(choice.row_bytes)),
        "; the lower bound is the busiest network card's, each row once per node"
        "</caption><thead><tr><th class=\"name\">strategy</th><th>estimate</th>"
        "<th>times the bound</th><td></td></tr></thead><tbody>\n",
        rows, "</tbody></table></div>\n");
}

}  // namespace locmoe::detail::page
