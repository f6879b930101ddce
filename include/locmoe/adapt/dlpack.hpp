#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include <dlpack/dlpack.h>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/tensor/detail/fold_rows.hpp"
#include "locmoe/tensor/standard.hpp"

namespace locmoe::inline v0 {

namespace detail {

// Of devices with memory of their own; by number, since DLPack renamed some of them.
inline std::string dlpack_device_name(const DLDevice& device) {
    const auto kind = [&]() -> std::string {
        switch (static_cast<int>(device.device_type)) {
            case 2: return "cuda";
            case 4: return "opencl";
            case 7: return "vulkan";
            case 8: return "metal";
            case 9: return "vpi";
            case 10: return "rocm";
            case 13: return "cuda_managed";
            case 14: return "oneapi";
            default: return concat("device type ", static_cast<int>(device.device_type));
        }
    };
    return concat(kind(), ":", device.device_id);
}

/// The processor's own memory, pinned or not.
inline bool dlpack_in_host_memory(const DLDevice& device) {
    const int kind = static_cast<int>(device.device_type);
    return kind == 1 || kind == 3 || kind == 11;
}

inline std::string dlpack_type_name(DLDataType type) {
    const auto kind = [&]() -> std::string {
        switch (int{type.code}) {
            case kDLInt: return "int";
            case kDLUInt: return "uint";
            case kDLFloat: return "float";
            case kDLBfloat: return "bfloat";
            case kDLComplex: return "complex";
            default: return concat("code ", int{type.code}, ", bits ");
        }
    };
    return concat(kind(), int{type.bits}, type.lanes == 1 ? "" : concat(" x ", type.lanes));
}

inline std::optional<element_type> dlpack_element(DLDataType type) {
    if (type.lanes != 1) return std::nullopt;
    const auto is = [&](DLDataTypeCode code, int bits) {
        return type.code == code && type.bits == bits;
    };
    if (is(kDLFloat, 32)) return element_type::f32;
    if (is(kDLFloat, 64)) return element_type::f64;
    if (is(kDLBfloat, 16)) return element_type::bf16;
    if (is(kDLFloat, 16)) return element_type::fp16;
    if (is(kDLInt, 32)) return element_type::i32;
    if (is(kDLInt, 64)) return element_type::i64;
    return std::nullopt;
}

}  // namespace detail

/// The rows of a DLPack tensor, as PyTorch, JAX, MindSpore and CuPy hand theirs out: `[T, d]`, or
/// `[..., d]` with its leading dimensions folded into T where they lie one after the other. Nothing
/// is copied and nothing owned: whoever holds the DLManagedTensor calls its deleter, afterwards.
/// `E` is float, double, bf16, fp16, int32 or int64 (or another element of that type), const to
/// read. Throws argument_error, naming the field, where dtype is not E's, the device has memory of
/// its own, or `fold_rows` finds no token rows.
template <class E>
    requires element<std::remove_const_t<E>>
matrix_view<E> as_matrix(const DLTensor& tensor) {
    using detail::concat;
    using value = std::remove_const_t<E>;
    const auto refuse = [](const char* field, const std::string& expected, const std::string& got) {
        detail::throw_argument("as_matrix", concat(field, " of the DLTensor"), expected, got);
    };
    if (!detail::dlpack_in_host_memory(tensor.device))
        refuse("device", "cpu, cuda_host or rocm_host", detail::dlpack_device_name(tensor.device));
    if (detail::dlpack_element(tensor.dtype) != element_traits<value>::type)
        refuse("dtype", element_name(element_traits<value>::type),
               detail::dlpack_type_name(tensor.dtype));
    const auto dimensions = static_cast<std::size_t>(tensor.ndim < 0 ? 0 : tensor.ndim);
    if (dimensions > 0 && tensor.shape == nullptr) refuse("shape", "sizes", "a null pointer");
    const auto folded = detail::fold_rows(
        "DLTensor", std::span<const std::int64_t>(tensor.shape, dimensions),
        std::span<const std::int64_t>(tensor.strides, tensor.strides ? dimensions : 0));
    if (tensor.data == nullptr) {
        if (folded.rows * folded.cols > 0) refuse("data", "an address", "a null pointer");
        return {nullptr, folded.rows, folded.cols};
    }
    const auto first = reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.byte_offset;
    if (first % alignof(value) != 0)
        refuse("byte_offset", concat("a start aligned to ", alignof(value), " bytes"),
               concat(tensor.byte_offset, " on data that leaves a remainder of ",
                      first % alignof(value)));
    return {reinterpret_cast<E*>(first), folded.rows, folded.cols, folded.row_stride};
}

/// The same of a managed tensor, which stays the caller's to delete.
template <class E>
    requires element<std::remove_const_t<E>>
matrix_view<E> as_matrix(const DLManagedTensor& managed) {
    return as_matrix<E>(managed.dl_tensor);
}

/// Calls `use(matrix_view<E>)` with the E that the tensor's dtype says at run time, and returns
/// what it returns. Throws argument_error for a dtype that is no element, and as `as_matrix` does.
template <class Use>
decltype(auto) visit_matrix(const DLTensor& tensor, Use&& use) {
    const auto type = detail::dlpack_element(tensor.dtype);
    if (!type)
        detail::throw_argument("visit_matrix", "dtype of the DLTensor",
                               "f32, f64, bf16, fp16, i32 or i64",
                               detail::dlpack_type_name(tensor.dtype));
    switch (*type) {
        case element_type::f64: return use(as_matrix<double>(tensor));
        case element_type::bf16: return use(as_matrix<bf16>(tensor));
        case element_type::fp16: return use(as_matrix<fp16>(tensor));
        case element_type::i32: return use(as_matrix<std::int32_t>(tensor));
        case element_type::i64: return use(as_matrix<std::int64_t>(tensor));
        case element_type::f32: break;
    }
    return use(as_matrix<float>(tensor));
}

/// The same of a managed tensor, which stays the caller's to delete.
template <class Use>
decltype(auto) visit_matrix(const DLManagedTensor& managed, Use&& use) {
    return visit_matrix(managed.dl_tensor, use);
}

}  // namespace locmoe
