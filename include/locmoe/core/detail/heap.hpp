#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace locmoe::inline v0::detail {

/// Serves the greatest by operator< first: a std::priority_queue without the rest of <queue>.
template <class T>
class heap {
  public:
    bool empty() const { return items_.empty(); }
    std::size_t size() const { return items_.size(); }
    const T& top() const { return items_[0]; }

    void push(T item) {
        items_.push_back(item);
        rise(items_.size() - 1, std::move(item));
    }

    /// The last item goes down the way of the greater children to the bottom, and up from there:
    /// it is small, so that this compares less than stopping on the way.
    void pop() {
        T last = std::move(items_.back());
        items_.pop_back();
        const std::size_t count = items_.size();
        if (count == 0) return;
        std::size_t hole = 0;
        for (std::size_t child = 2; child <= count; child = 2 * hole + 2) {
            if (child == count || items_[child] < items_[child - 1]) --child;
            items_[hole] = std::move(items_[child]);
            hole = child;
        }
        rise(hole, std::move(last));
    }

  private:
    void rise(std::size_t hole, T item) {
        while (hole > 0 && items_[(hole - 1) / 2] < item) {
            items_[hole] = std::move(items_[(hole - 1) / 2]);
            hole = (hole - 1) / 2;
        }
        items_[hole] = std::move(item);
    }

    std::vector<T> items_;
};

}  // namespace locmoe::detail
