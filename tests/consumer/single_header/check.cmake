# Floors 0 to 5 as one header, included by two source files of one program; nothing else is in sight.
# usage: cmake -D COMPILER=c++ -D ROOT=<project> -D FOLDER=<to build in> -P check.cmake
include(${CMAKE_CURRENT_LIST_DIR}/../run.cmake)
run(${CMAKE_COMMAND} -D OUT=${FOLDER}/locmoe.hpp -P ${ROOT}/cmake/single_header.cmake)
set(sources ${CMAKE_CURRENT_LIST_DIR}/main.cpp ${CMAKE_CURRENT_LIST_DIR}/plans.cpp)
run(${COMPILER} -std=c++20 -Wall -Wextra -Wpedantic -Werror -pthread -I ${FOLDER} ${sources}
  -o ${FOLDER}/consumer)
run(${FOLDER}/consumer)
