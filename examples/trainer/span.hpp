#pragma once

#include <initializer_list>
#include <string_view>

#include "locmoe/plan/flow.hpp"

namespace trainer {

/// Does the work, as a span of the trace where the backend keeps one.
template <class Backend, class Work>
void span(Backend& backend, std::string_view name, Work&& work,
          std::initializer_list<const locmoe::flow*> flows = {}) {
    if constexpr (requires { backend.run(name, work, flows); })
        backend.run(name, work, flows);
    else
        work();
}

}  // namespace trainer
