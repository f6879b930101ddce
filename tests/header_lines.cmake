# Each public header of floors 0 to 5 stays lean: at most so many lines once preprocessed, of which the
# standard library's are 28,000 as soon as a string is there, 34,000 with vectors and spans, 44,000 with
# <cmath>. <algorithm> would add 11,000, <map> 6,000, <memory> 22,000, <chrono> 16,000. Limits are of
# g++ 12; of other standard libraries, in proportion to what the same lean headers cost there.
# usage: cmake -D COMPILER=c++ -D ROOT=<project> -P header_lines.cmake
cmake_minimum_required(VERSION 3.23)

set(most_core 30500)
set(most_tensor 37000)
set(most_topology 49500)
set(most_capacity 48000)
set(most_routing 52000)
set(most_assign 52000)
set(most_plan 54000)
set(most_exec 65000)
set(most_threads 82000)  # what asks for <thread> or <chrono>
set(most_all 77000)      # locmoe.hpp

set(lean string vector span cmath optional limits cstring concepts bit cstdio array)
set(lean_lines 46750)

# Lines of a source that includes those files.
function(preprocessed result)
  set(options "")
  foreach(file IN LISTS ARGN)
    list(APPEND options -include ${file})
  endforeach()
  execute_process(COMMAND ${COMPILER} -std=c++20 -I ${ROOT}/include -E -x c++ ${options} /dev/null
    COMMAND wc -l OUTPUT_VARIABLE lines RESULTS_VARIABLE failed ERROR_VARIABLE words)
  if(NOT failed STREQUAL "0;0")
    message(FATAL_ERROR "${COMPILER} -E ${ARGN}:\n${words}")
  endif()
  string(STRIP "${lines}" lines)
  set(${result} ${lines} PARENT_SCOPE)
endfunction()

preprocessed(lean_here ${lean})
file(GLOB_RECURSE headers RELATIVE ${ROOT}/include ${ROOT}/include/locmoe/*.hpp)
list(FILTER headers EXCLUDE REGEX "/detail/|/adapt/|capacity/exact")  # third parties have their own size
list(FILTER headers EXCLUDE REGEX "tensor/mdspan.hpp")                # C++23 alone has it
list(LENGTH headers count)
if(count EQUAL 0)
  message(FATAL_ERROR "no headers in ${ROOT}/include/locmoe")
endif()
set(wrong "")
foreach(header IN LISTS headers)
  if(header MATCHES "exec/(in_process|simulated|thread_team|calibrate|traced_backend|exchange_trace)")
    set(floor threads)
  elseif(header MATCHES "^locmoe/([^/]+)/")
    set(floor ${CMAKE_MATCH_1})
  else()
    set(floor all)
  endif()
  preprocessed(lines ${header})
  math(EXPR most "${most_${floor}} * ${lean_here} / ${lean_lines}")
  if(lines GREATER most)
    string(APPEND wrong "  ${header}: ${lines}, at most ${most}\n")
  endif()
endforeach()
if(wrong)
  message(FATAL_ERROR "Preprocessed lines of headers that have grown too large:\n${wrong}")
endif()
preprocessed(all locmoe/locmoe.hpp)
message(STATUS "${count} headers; locmoe.hpp has ${all} lines, the standard library's lean ones ${lean_here}")
