# A compiler finds an installed locmoe by pkg-config alone.
# usage: cmake -D COMPILER=c++ -D PKG_CONFIG=pkg-config -D VERSION=0.1.0 -D PREFIX=<where it is installed>
#   -D FOLDER=<to build in> -P pkg_config.cmake
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
set(ENV{PKG_CONFIG_PATH} ${PREFIX}/share/pkgconfig)
run(${PKG_CONFIG} --modversion locmoe)
string(STRIP "${printed}" printed)
if(NOT printed STREQUAL VERSION)
  message(FATAL_ERROR "pkg-config has locmoe ${printed}, the project is ${VERSION}")
endif()
run(${PKG_CONFIG} --cflags locmoe)
separate_arguments(flags UNIX_COMMAND "${printed}")
file(MAKE_DIRECTORY ${FOLDER})
run(${COMPILER} -std=c++20 ${flags} ${CMAKE_CURRENT_LIST_DIR}/main.cpp -o ${FOLDER}/consumer)
run(${FOLDER}/consumer)
