# core/version.hpp says the version that CMake's project has, and every header opens the one inline
# namespace of that version, `namespace locmoe::inline v0`.
# usage: cmake -D VERSION=0.1.0 -D ROOT=<project> -P version.cmake
cmake_minimum_required(VERSION 3.23)

set(found "")
foreach(part MAJOR MINOR PATCH)
  file(STRINGS ${ROOT}/include/locmoe/core/version.hpp line
    REGEX "^#define LOCMOE_VERSION_${part} [0-9]+$")
  string(REGEX REPLACE "^.* " "" number "${line}")
  list(APPEND found ${number})
endforeach()
list(JOIN found "." found)
if(NOT found STREQUAL VERSION)
  message(FATAL_ERROR "core/version.hpp says \"${found}\", CMake's project ${VERSION}")
endif()

file(GLOB_RECURSE headers RELATIVE ${ROOT}/include ${ROOT}/include/locmoe/*.hpp)
list(FILTER headers EXCLUDE REGEX "^locmoe/(locmoe|core/version)\\.hpp$")  # they name nothing
list(LENGTH headers count)
if(count EQUAL 0)
  message(FATAL_ERROR "no headers in ${ROOT}/include/locmoe")
endif()
set(abi "")  # of the first header
set(wrong "")
foreach(header IN LISTS headers)
  file(STRINGS ${ROOT}/include/${header} opened REGEX "^(inline )?namespace ")
  list(POP_FRONT opened first)
  list(FILTER opened INCLUDE REGEX "locmoe")  # others are inside the first
  foreach(line IN ITEMS "${first}" LISTS opened)
    if(NOT line MATCHES "^namespace locmoe::inline (v[0-9]+)(::[a-z_:]+)? {$")
      string(APPEND wrong "  ${header}: opens \"${line}\"\n")
      continue()
    endif()
    if(NOT abi)
      set(abi ${CMAKE_MATCH_1})
    elseif(NOT CMAKE_MATCH_1 STREQUAL abi)
      string(APPEND wrong "  ${header}: opens ${CMAKE_MATCH_1}, others ${abi}\n")
    endif()
  endforeach()
endforeach()
if(wrong)
  message(FATAL_ERROR "All that locmoe names stands in one inline namespace, but not here:\n${wrong}")
endif()
message(STATUS "${count} headers of version ${found} open locmoe::${abi}")
