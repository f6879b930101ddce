#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/core/token_rows.hpp"

namespace locmoe::inline v0 {

/// How locmoe sees a tensor type that it does not own: as token rows `[T, d]`, each row contiguous.
/// Specialise it once for your type:
///
///     template <>
///     struct locmoe::tensor_traits<my_tensor> {
///         using value_type = float;                              // a locmoe::element
///         static std::size_t rows(const my_tensor& t);           // T
///         static std::size_t cols(const my_tensor& t);           // d
///         static std::size_t row_stride(const my_tensor& t);     // elements from row to row, >= d
///         static const float* data(const my_tensor& t);
///         static float* data(my_tensor& t);                      // only where rows are written
///     };
///
/// For a type that cannot be seen so, such as a column-major matrix, `using scattered_rows = void;`
/// alone makes the error say why.
template <class Tensor>
struct tensor_traits;

namespace detail {

template <class T>
using traits_of = tensor_traits<std::remove_cvref_t<T>>;

template <class T>
concept traits_specialised = requires { sizeof(traits_of<T>); };

template <class T>
concept traits_refuse = requires { typename traits_of<T>::scattered_rows; };

template <class T>
concept traits_name_an_element =
    requires { typename traits_of<T>::value_type; } && element<typename traits_of<T>::value_type>;

template <class T>
concept traits_give_shape = requires(const std::remove_cvref_t<T>& t) {
    { traits_of<T>::rows(t) } -> std::convertible_to<std::size_t>;
    { traits_of<T>::cols(t) } -> std::convertible_to<std::size_t>;
    { traits_of<T>::row_stride(t) } -> std::convertible_to<std::size_t>;
};

template <class T>
concept traits_give_data = requires(const std::remove_cvref_t<T>& t) {
    { traits_of<T>::data(t) } -> std::convertible_to<const typename traits_of<T>::value_type*>;
};

template <class T>
concept traits_give_writable_data = requires(std::remove_reference_t<T>& t) {
    { traits_of<T>::data(t) } -> std::same_as<typename traits_of<T>::value_type*>;
};

}  // namespace detail

/// Token rows that can be read: `tensor_traits` is specialised, names an element type, and gives
/// shape and data. It asks for no ownership, no arithmetic and no particular memory.
template <class T>
concept token_tensor = detail::traits_specialised<T> && detail::traits_name_an_element<T> &&
                       detail::traits_give_shape<T> && detail::traits_give_data<T>;

/// A `token_tensor` whose rows can also be written.
template <class T>
concept writable_token_tensor = token_tensor<T> && detail::traits_give_writable_data<T>;

namespace detail {

/// Each missing piece of a trait as one sentence, the first one only.
template <class T>
constexpr bool explain_token_tensor() {
    if constexpr (!traits_specialised<T>) {
        static_assert(traits_specialised<T>,
                      "locmoe: this tensor type is unknown: specialise locmoe::tensor_traits for "
                      "it (see locmoe/tensor/tensor_traits.hpp) or include its adapter");
    } else if constexpr (traits_refuse<T>) {
        static_assert(!traits_refuse<T>,
                      "locmoe: rows of this tensor type are not contiguous in memory, as token "
                      "rows must be: use its row-major kind");
    } else if constexpr (!traits_name_an_element<T>) {
        static_assert(traits_name_an_element<T>,
                      "locmoe: tensor_traits<T>::value_type is missing or no locmoe::element; "
                      "specialise locmoe::element_traits for a number type of your own");
    } else if constexpr (!traits_give_shape<T>) {
        static_assert(traits_give_shape<T>,
                      "locmoe: tensor_traits<T> needs rows(t), cols(t) and row_stride(t)");
    } else {
        static_assert(traits_give_data<T>,
                      "locmoe: tensor_traits<T> needs data(const T&) -> const value_type*");
    }
    return true;
}

}  // namespace detail

/// The rows of any token tensor, for reading.
template <class Tensor>
auto view_of(const Tensor& tensor) {
    if constexpr (!token_tensor<Tensor>) {
        static_assert(detail::explain_token_tensor<Tensor>());
    } else {
        using traits = tensor_traits<Tensor>;
        const typename traits::value_type* data = traits::data(tensor);
        return matrix_view<const typename traits::value_type>(
            data, traits::rows(tensor), traits::cols(tensor), traits::row_stride(tensor));
    }
}

/// The rows of any token tensor, for writing. Views and spans may be passed as temporaries.
template <class Tensor>
auto writable_view_of(Tensor&& tensor) {
    if constexpr (!token_tensor<Tensor>) {
        static_assert(detail::explain_token_tensor<std::remove_cvref_t<Tensor>>());
    } else {
        static_assert(detail::traits_give_writable_data<Tensor>,
                      "locmoe: this tensor is only readable: tensor_traits<T> needs data(T&) -> "
                      "value_type* to write its rows");
        using traits = detail::traits_of<Tensor>;
        return matrix_view<typename traits::value_type>(traits::data(tensor), traits::rows(tensor),
                                                        traits::cols(tensor),
                                                        traits::row_stride(tensor));
    }
}

}  // namespace locmoe
