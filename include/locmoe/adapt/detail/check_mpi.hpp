#pragma once

#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <cstddef>
#include <limits>
#include <string>

#include <mpi.h>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0::detail {

inline void check_mpi(int code, const char* operation) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw backend_error(operation, code, std::string(text, static_cast<std::size_t>(length)));
}

/// The one place where a count becomes MPI's int.
inline int mpi_count(std::size_t count, const char* function, const char* argument) {
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<int>::max());
    if (count > most) throw_argument(function, argument, concat("at most ", most), concat(count));
    return static_cast<int>(count);
}

}  // namespace locmoe::detail
