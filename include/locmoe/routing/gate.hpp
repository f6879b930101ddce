#pragma once

#include <concepts>
#include <cstddef>

#include "locmoe/core/matrix_view.hpp"

namespace locmoe::inline v0 {

/// Turns tokens `[T, d]` of element E into logits `[T, n]`, one for each expert, with arithmetic in
/// `real`. `forward` writes the logits. `backward` takes d loss / d logits and *adds* to d loss /
/// d tokens `[T, d]` and to d loss / d gate weights `[n, d]`; the latter view is empty for a gate
/// without parameters. It asks for no ownership of the weights and no softmax.
///
/// A gate may also have `in_blocks(tokens)`, which gives an object with `rows_at_once()`, how many
/// tokens are best taken at a time, and `forward(first, logits)`, const and of any thread, for the
/// tokens from `first` on. Routers then make scores and choices while the logits are in a cache. If
/// the object has `bytes_from(first)`, the memory that these tokens are read from, some of it is
/// fetched meanwhile: for gates that wait for memory.
template <class Gate, class E = float>
concept gate = requires(const Gate& fixed, matrix_view<const E> tokens,
                        matrix_view<typename Gate::real> written,
                        matrix_view<const typename Gate::real> read) {
    { fixed.expert_count() } -> std::convertible_to<std::size_t>;
    { fixed.forward(tokens, written) } -> std::same_as<void>;
    { fixed.backward(tokens, read, written, written) } -> std::same_as<void>;
};

}  // namespace locmoe
