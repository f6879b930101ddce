#if __has_include(<dlpack/dlpack.h>)

#include "locmoe/adapt/dlpack.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

namespace {

using namespace locmoe;

constexpr DLDataType f32{kDLFloat, 32, 1};

/// Somebody's tensor: memory, sizes and strides.
struct lent_tensor {
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides = {};  // none: compact
    DLDataType type = f32;
    std::vector<double> memory = std::vector<double>(64);

    DLTensor get() {
        DLTensor t{};
        t.data = memory.data();
        t.device = {kDLCPU, 0};
        t.ndim = static_cast<int>(shape.size());
        t.dtype = type;
        t.shape = shape.data();
        t.strides = strides.empty() ? nullptr : strides.data();
        return t;
    }
};

std::string refusal(const DLTensor& t) {
    try {
        (void)as_matrix<float>(t);
    } catch (const argument_error& e) {
        return e.what();
    }
    return "";
}

/// Where each number of a tensor of at least two dimensions lies, row after row: [T, d].
std::vector<std::vector<std::int64_t>> places(const std::vector<std::int64_t>& shape,
                                              const std::vector<std::int64_t>& strides) {
    std::vector<std::int64_t> starts = {0};
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) {
        std::vector<std::int64_t> deeper;
        for (const std::int64_t s : starts)
            for (std::int64_t j = 0; j < shape[i]; ++j) deeper.push_back(s + j * strides[i]);
        starts = deeper;
    }
    std::vector<std::vector<std::int64_t>> rows;
    for (const std::int64_t s : starts) {
        rows.emplace_back();
        for (std::int64_t j = 0; j < shape.back(); ++j)
            rows.back().push_back(s + j * strides.back());
    }
    return rows;
}

/// The one stride from row to row, where there is one that keeps rows apart and columns together.
std::optional<std::int64_t> single_stride(const std::vector<std::vector<std::int64_t>>& rows) {
    const auto cols = static_cast<std::int64_t>(rows.front().size());
    const std::int64_t stride = rows.size() > 1 ? rows[1][0] - rows[0][0] : cols;
    if (stride < cols) return std::nullopt;
    for (std::size_t i = 0; i < rows.size(); ++i)
        for (std::size_t j = 0; j < rows[i].size(); ++j)
            if (rows[i][j] != static_cast<std::int64_t>(i) * stride + static_cast<std::int64_t>(j))
                return std::nullopt;
    return stride;
}

}  // namespace

TEST_CASE("A DLPack tensor folds into rows exactly where one stride steps through them") {
    random_cases::generator g(5);
    std::size_t accepted = 0, refused = 0;
    for (int trial = 0; trial < 4000; ++trial) {
        lent_tensor lent;
        const std::size_t dimensions = 2 + g.up_to(2);
        std::int64_t compact = 1;
        lent.shape.resize(dimensions);
        lent.strides.resize(dimensions);
        for (std::size_t i = dimensions; i-- > 0;) {
            lent.shape[i] = static_cast<std::int64_t>(1 + g.up_to(3));
            lent.strides[i] = compact;
            if (g.chance(0.2)) lent.strides[i] = static_cast<std::int64_t>(g.up_to(8)) - 1;
            compact = lent.strides[i] * lent.shape[i];
        }
        const auto rows = places(lent.shape, lent.strides);
        const auto expected = single_stride(rows);
        INFO(detail::list_text(lent.shape) << " " << detail::list_text(lent.strides));
        if (!expected) {
            CHECK(refusal(lent.get()).find("strides of the DLTensor") != std::string::npos);
            ++refused;
            continue;
        }
        const auto view = as_matrix<float>(lent.get());
        CHECK(view.rows == rows.size());
        CHECK(view.cols == rows.front().size());
        CHECK(view.row_stride == static_cast<std::size_t>(*expected));
        ++accepted;
    }
    CHECK(accepted > 500);
    CHECK(refused > 500);
}

TEST_CASE("A compact DLPack tensor needs no strides and an empty one no data") {
    lent_tensor lent{{2, 3, 5}};
    const auto view = as_matrix<const float>(lent.get());
    CHECK(view.data == reinterpret_cast<const float*>(lent.memory.data()));
    CHECK(view.rows == 6);
    CHECK(view.cols == 5);
    CHECK(view.row_stride == 5);

    for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{0, 4}, {4, 0}}) {
        lent_tensor none{shape};
        DLTensor t = none.get();
        t.data = nullptr;
        const auto empty = as_matrix<float>(t);
        CHECK(empty.rows == static_cast<std::size_t>(shape[0]));
        CHECK(empty.cols == static_cast<std::size_t>(shape[1]));
    }
}

TEST_CASE("The byte offset of a DLPack tensor is where its rows start") {
    lent_tensor lent{{2, 3}};
    DLManagedTensor managed{};
    managed.dl_tensor = lent.get();
    managed.dl_tensor.byte_offset = 12;
    const auto view = as_matrix<float>(managed);
    CHECK(view.data == reinterpret_cast<float*>(lent.memory.data()) + 3);
    managed.dl_tensor.byte_offset = 6;
    CHECK_THROWS_WITH(as_matrix<float>(managed),
                      "locmoe: as_matrix: byte_offset of the DLTensor: expected a start aligned to "
                      "4 bytes, got 6 on data that leaves a remainder of 2");
}

TEST_CASE("Each DLPack dtype is the element of its name and no other") {
    const auto check = []<class E>(E, DLDataType type) {
        lent_tensor lent{{2, 3}, {}, type};
        CHECK(as_matrix<E>(lent.get()).rows == 2);
        const bool same = visit_matrix(lent.get(), [](auto view) {
            static_assert(writable_token_tensor<decltype(view)>);
            return std::is_same_v<typename decltype(view)::value_type, E>;
        });
        CHECK(same);
        if (type.code == kDLFloat && type.bits == 32) return;
        CHECK_THROWS_AS(as_matrix<float>(lent.get()), argument_error);
    };
    check(float(), f32);
    check(double(), {kDLFloat, 64, 1});
    check(bf16(), {kDLBfloat, 16, 1});
    check(fp16(), {kDLFloat, 16, 1});
    check(std::int32_t(), {kDLInt, 32, 1});
    check(std::int64_t(), {kDLInt, 64, 1});
}

TEST_CASE("A DLPack tensor is read in the host's memory and refused by name in a device's own") {
    lent_tensor lent{{2, 3}};
    const auto refused_on = [&](int device) {
        DLTensor t = lent.get();
        t.device = {static_cast<DLDeviceType>(device), 1};
        return refusal(t);
    };
    for (const int host : {1, 3, 11}) CHECK(refused_on(host).empty());
    const std::vector<std::pair<int, std::string>> own{
        {2, "cuda:1"},  {4, "opencl:1"},        {7, "vulkan:1"},  {8, "metal:1"}, {9, "vpi:1"},
        {10, "rocm:1"}, {13, "cuda_managed:1"}, {14, "oneapi:1"}, {12, "device type 12:1"}};
    for (const auto& [device, name] : own)
        CHECK(refused_on(device) ==
              "locmoe: as_matrix: device of the DLTensor: expected cpu, cuda_host or rocm_host, "
              "got " + name);
}

TEST_CASE("A DLPack tensor of more numbers than can be counted is refused") {
    constexpr std::int64_t half = std::int64_t{1} << 32;
    lent_tensor lent;
    const std::vector<std::vector<std::int64_t>> shapes{
        {half, half}, {half, half, 1}, {half, half, 0, 2}, {2, half, half}};
    for (const auto& shape : shapes) {
        lent.shape = shape;
        DLTensor t = lent.get();
        CHECK(refusal(t).find("shape of the DLTensor: expected fewer than 2^63 numbers") !=
              std::string::npos);
        t.data = nullptr;
        CHECK_FALSE(refusal(t).empty());
    }
    // Strides are compared where their products would not fit.
    lent.shape = {2, 4, 2};
    lent.strides = {0, half << 30, 1};
    CHECK(refusal(lent.get()).find("one after the other") != std::string::npos);
    lent.strides = {std::numeric_limits<std::int64_t>::min(), half, 1};
    CHECK(refusal(lent.get()).find("one after the other") != std::string::npos);
}

TEST_CASE("What a DLPack tensor is refused for is said by field") {
    lent_tensor lent{{2, 3}};
    const auto changed = [&](auto change) {
        DLTensor t = lent.get();
        change(t);
        return refusal(t);
    };
    CHECK(changed([](DLTensor& t) { t.dtype = {9, 8, 1}; }) ==
          "locmoe: as_matrix: dtype of the DLTensor: expected f32, got code 9, bits 8");
    CHECK(changed([](DLTensor& t) { t.dtype.lanes = 4; }) ==
          "locmoe: as_matrix: dtype of the DLTensor: expected f32, got float32 x 4");
    CHECK(changed([](DLTensor& t) {
              t.dtype = {kDLUInt, 8, 1};
          }) == "locmoe: as_matrix: dtype of the DLTensor: expected f32, got uint8");
    CHECK(changed([](DLTensor& t) { t.data = nullptr; }) ==
          "locmoe: as_matrix: data of the DLTensor: expected an address, got a null pointer");
    CHECK(changed([](DLTensor& t) { t.ndim = 0; }).find("dimensions") != std::string::npos);
    CHECK(changed([](DLTensor& t) { t.ndim = -1; }).find("dimensions") != std::string::npos);
    CHECK(changed([](DLTensor& t) { t.ndim = 1; }) ==
          "locmoe: as_matrix: dimensions of the DLTensor: expected 2 or more, [..., d], got 1");
    CHECK(changed([](DLTensor& t) { t.shape[0] = -2; }) ==
          "locmoe: as_matrix: shape of the DLTensor: expected no negative size, got [-2, 3]");
    CHECK(changed([](DLTensor& t) { t.shape = nullptr; }) ==
          "locmoe: as_matrix: shape of the DLTensor: expected sizes, got a null pointer");

    lent.shape = {2, 3};
    lent.strides = {1, 2};
    CHECK(refusal(lent.get()) ==
          "locmoe: as_matrix: strides of the DLTensor: expected 1 in the last dimension, got [1, "
          "2] for the shape [2, 3]");
    lent.strides = {0, 1};
    CHECK(refusal(lent.get()) ==
          "locmoe: as_matrix: strides of the DLTensor: expected at least d = 3 from row to row, "
          "got [0, 1] for the shape [2, 3]");
    lent.type = {kDLComplex, 64, 1};
    CHECK_THROWS_WITH(visit_matrix(lent.get(), [](auto) {}),
                      "locmoe: visit_matrix: dtype of the DLTensor: expected f32, f64, bf16, fp16, "
                      "i32 or i64, got complex64");
}

#endif
