# locmoe.hpp includes every header that a user may include and that asks for the standard library alone.
# cmake -D ROOT=... -P umbrella.cmake
file(READ ${ROOT}/include/locmoe/locmoe.hpp umbrella)
file(GLOB_RECURSE headers RELATIVE ${ROOT}/include ${ROOT}/include/locmoe/*.hpp)
list(FILTER headers EXCLUDE REGEX "locmoe/locmoe.hpp|/detail/|/adapt/|capacity/exact")
list(FILTER headers EXCLUDE REGEX "exec/(in_process|simulated|calibrate|thread_team|traced_backend|exchange_trace)")  # <thread>, <chrono>
list(FILTER headers EXCLUDE REGEX "plan/describe_html.hpp")  # for programs that write pages
list(FILTER headers EXCLUDE REGEX "tensor/mdspan.hpp")  # C++23 alone has it
set(missing "")
foreach(header IN LISTS headers)
  string(FIND "${umbrella}" "#include \"${header}\"\n" at)
  if(at EQUAL -1)
    string(APPEND missing "  ${header}\n")
  endif()
endforeach()
if(missing)
  message(FATAL_ERROR "locmoe.hpp does not include:\n${missing}")
endif()
