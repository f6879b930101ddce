# Writes locmoe.hpp with all that it includes as one header, to be copied into a project that wants no more:
#
#   cmake -D OUT=locmoe.hpp -P cmake/single_header.cmake
#
# -D "HEADERS=locmoe/locmoe.hpp;locmoe/exec/in_process.hpp" takes more headers of floors 0 to 5, or others,
# with what they include. Where it is used, it stands in for include/locmoe; do not mix the two in one
# source file.
cmake_minimum_required(VERSION 3.23)

if(NOT OUT)
  message(FATAL_ERROR "usage: cmake -D OUT=locmoe.hpp [-D HEADERS=...] -P single_header.cmake")
endif()
if(NOT HEADERS)
  set(HEADERS locmoe/locmoe.hpp)
endif()
get_filename_component(root ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
set(body "")
set(done "")

# Appends a header's text to `body`, behind that of the headers that it includes.
function(take header)
  if(header IN_LIST done)
    return()
  endif()
  list(APPEND done ${header})
  file(READ ${root}/include/${header} text)
  string(REGEX MATCHALL "#include \"locmoe/[^\"]+\"" includes "${text}")
  foreach(line IN LISTS includes)
    string(REGEX REPLACE "^#include \"(.*)\"$" "\\1" needed "${line}")
    take(${needed})
  endforeach()
  string(REGEX REPLACE "#pragma once\n+" "" text "${text}")
  string(REGEX REPLACE "#include \"locmoe/[^\"]+\"\n" "" text "${text}")
  string(REGEX REPLACE "\n\n\n+" "\n\n" text "${text}")
  set(body "${body}\n// ${header}\n${text}" PARENT_SCOPE)
  set(done "${done}" PARENT_SCOPE)
endfunction()

foreach(header IN LISTS HEADERS)
  take(${header})
endforeach()

file(READ ${root}/LICENSE license)
string(STRIP "${license}" license)
string(REGEX REPLACE "\n" "\n// " license "${license}")
string(REGEX REPLACE "// \n" "//\n" license "${license}")
list(JOIN HEADERS ", " HEADERS)
file(WRITE ${OUT}
  "// Made by cmake/single_header.cmake of ${HEADERS}.\n//\n// ${license}\n\n#pragma once\n${body}")
