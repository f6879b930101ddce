#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "matrix.hpp"
#include "random.hpp"

namespace trainer {

/// A tensor that is learned, `[rows, cols]`, with the gradient that the backward passes add to.
/// What it starts from depends on its name and the seed alone: not on how many ranks there are.
template <class Scalar>
struct parameter {
    std::string name;
    matrix<Scalar> value;
    matrix<Scalar> gradient;

    /// Normal numbers of the given standard deviation.
    static parameter normal(std::string name, std::size_t rows, std::size_t cols, double deviation,
                            std::uint64_t seed) {
        parameter p = constant(std::move(name), rows, cols, 0);
        generator draw(seed_for(seed, p.name));
        for (Scalar& x : p.value) x = static_cast<Scalar>(deviation * draw.normal());
        return p;
    }

    static parameter constant(std::string name, std::size_t rows, std::size_t cols, double value) {
        parameter p;
        p.name = std::move(name);
        fill(shaped(p.value, rows, cols), static_cast<Scalar>(value));
        fill(shaped(p.gradient, rows, cols), Scalar(0));
        return p;
    }

    std::span<Scalar> values() { return {value.data(), value.size()}; }
    std::span<Scalar> gradients() { return {gradient.data(), gradient.size()}; }
};

/// A model's parameters in the order of its layers. The shared ones are on every rank and their
/// gradients are summed over the ranks; an expert's are on its own rank alone.
template <class Scalar>
struct parameter_list {
    std::vector<parameter<Scalar>*> shared;
    std::vector<parameter<Scalar>*> expert;

    std::vector<parameter<Scalar>*> all() const {
        std::vector<parameter<Scalar>*> both = shared;
        both.insert(both.end(), expert.begin(), expert.end());
        return both;
    }
};

template <class Scalar>
void clear_gradients(const parameter_list<Scalar>& parameters) {
    for (parameter<Scalar>* p : parameters.all()) fill(out(p->gradient), Scalar(0));
}

}  // namespace trainer
