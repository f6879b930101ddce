#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include <ATen/core/ivalue.h>  // before Tensor.h: LibTorch 1.13 under clang
//
#include <ATen/core/Tensor.h>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/tensor/detail/fold_rows.hpp"
#include "locmoe/tensor/standard.hpp"

namespace locmoe::inline v0 {

/// Travels as bf16, is added up in float.
template <>
struct element_traits<at::BFloat16>
    : detail::plain_element<at::BFloat16, element_type::bf16, float> {};
/// Travels as fp16, is added up in float.
template <>
struct element_traits<at::Half> : detail::plain_element<at::Half, element_type::fp16, float> {};

namespace detail {

inline std::optional<element_type> torch_element(at::ScalarType type) {
    switch (type) {
        case at::kFloat: return element_type::f32;
        case at::kDouble: return element_type::f64;
        case at::kBFloat16: return element_type::bf16;
        case at::kHalf: return element_type::fp16;
        case at::kInt: return element_type::i32;
        case at::kLong: return element_type::i64;
        default: return std::nullopt;
    }
}

inline void check_torch_tensor(const at::Tensor& tensor) {
    const auto refuse = [](const char* field, const char* expected, const std::string& got) {
        throw_argument("as_matrix", field, expected, got);
    };
    if (!tensor.defined()) refuse("at::Tensor", "one that is defined", "an undefined one");
    if (!tensor.device().is_cpu()) refuse("device of the at::Tensor", "cpu", tensor.device().str());
    if (tensor.layout() != at::kStrided)
        refuse("layout of the at::Tensor", "strided", "another: call to_dense() first");
    if (tensor.is_neg())
        refuse("at::Tensor", "its numbers in memory", "a negated view: call resolve_neg() first");
}

}  // namespace detail

/// The rows of a LibTorch tensor: `[T, d]`, or `[..., d]` with its leading dimensions folded into T
/// where they lie one after the other. Nothing is copied and nothing enters the autograd graph (see
/// `torch_autograd.hpp`). `E` is float, double, at::BFloat16, at::Half, int32, int64 or bf16 and
/// fp16, const to read. Throws argument_error, naming what it is, where the tensor is undefined,
/// not on the CPU, not strided, of another dtype than E, or `fold_rows` finds no token rows.
template <class E>
    requires element<std::remove_const_t<E>>
matrix_view<E> as_matrix(const at::Tensor& tensor) {
    constexpr element_type type = element_traits<std::remove_const_t<E>>::type;
    detail::check_torch_tensor(tensor);
    if (detail::torch_element(tensor.scalar_type()) != type)
        detail::throw_argument("as_matrix", "dtype of the at::Tensor", element_name(type),
                               at::toString(tensor.scalar_type()));
    const auto list = [](at::IntArrayRef numbers) {
        return std::span<const std::int64_t>(numbers.data(), numbers.size());
    };
    const auto folded =
        detail::fold_rows("at::Tensor", list(tensor.sizes()), list(tensor.strides()));
    return {static_cast<E*>(tensor.data_ptr()), folded.rows, folded.cols, folded.row_stride};
}

/// Calls `use(matrix_view<E>)` with the E that the tensor's dtype says at run time (at::BFloat16
/// and at::Half for the 16-bit ones), and returns what it returns. Throws argument_error for a
/// dtype that is no element, and as `as_matrix` does.
template <class Use>
decltype(auto) visit_matrix(const at::Tensor& tensor, Use&& use) {
    detail::check_torch_tensor(tensor);
    switch (tensor.scalar_type()) {
        case at::kFloat: return use(as_matrix<float>(tensor));
        case at::kDouble: return use(as_matrix<double>(tensor));
        case at::kBFloat16: return use(as_matrix<at::BFloat16>(tensor));
        case at::kHalf: return use(as_matrix<at::Half>(tensor));
        case at::kInt: return use(as_matrix<std::int32_t>(tensor));
        case at::kLong: return use(as_matrix<std::int64_t>(tensor));
        default: break;
    }
    detail::throw_argument("visit_matrix", "dtype of the at::Tensor",
                           "f32, f64, bf16, fp16, i32 or i64", at::toString(tensor.scalar_type()));
}

}  // namespace locmoe
