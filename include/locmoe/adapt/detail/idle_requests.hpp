#pragma once

#include <cstddef>
#include <map>
#include <tuple>
#include <utility>

#include "locmoe/adapt/detail/own_communicator.hpp"  // before mpi.h: leaves out MPI's C++ bindings

namespace locmoe::inline v0::detail {

/// Persistent requests that are not under way, by what they move. Whoever takes one owns it until
/// it is kept again, so that no two transfers share one.
class idle_requests {
  public:
    using key = std::tuple<bool, int, const void*, int>;  // is a send, peer, memory, bytes

    idle_requests() = default;
    idle_requests(const idle_requests&) = delete;
    idle_requests& operator=(const idle_requests&) = delete;
    ~idle_requests() {
        int finalised = 0;
        MPI_Finalized(&finalised);
        if (!finalised) clear();
    }

    /// MPI_REQUEST_NULL where there is none.
    MPI_Request take(const key& of) {
        const auto place = requests_.find(of);
        if (place == requests_.end()) return MPI_REQUEST_NULL;
        const MPI_Request request = place->second;
        requests_.erase(place);
        return request;
    }

    void keep(const key& of, MPI_Request& request) {
        if (requests_.size() == most) clear();  // most of them stand for memory of long ago
        requests_.emplace(of, std::exchange(request, MPI_REQUEST_NULL));
    }

  private:
    static constexpr std::size_t most = 16'384;

    void clear() {
        for (auto& [of, request] : requests_) MPI_Request_free(&request);
        requests_.clear();
    }

    std::multimap<key, MPI_Request> requests_;
};

}  // namespace locmoe::detail
