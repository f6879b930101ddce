# cpack makes a .deb, and dpkg installs it into a root of its own, with the files that `cmake --install`
# brings.
# usage: cmake -D CPACK=cpack -D BUILD=<the project's build> -D FOLDER=<to work in> -P deb.cmake
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
file(REMOVE_RECURSE ${FOLDER})
set(root ${FOLDER}/root)
file(MAKE_DIRECTORY ${root}/var/lib/dpkg/updates ${root}/var/lib/dpkg/info)
file(WRITE ${root}/var/lib/dpkg/status "")
run(${CPACK} -G DEB -B ${FOLDER} --config ${BUILD}/CPackConfig.cmake)
file(GLOB package ${FOLDER}/locmoe_*_all.deb)
run(dpkg --force-not-root --root=${root} --log=/dev/null -i ${package})
run(dpkg --root=${root} --verify locmoe)

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${FOLDER}/installed)
file(GLOB_RECURSE installed RELATIVE ${FOLDER}/installed ${FOLDER}/installed/*)
file(GLOB_RECURSE packed RELATIVE ${root}/usr ${root}/usr/*)
if(NOT "${installed}" STREQUAL "${packed}")
  list(REMOVE_ITEM installed ${packed})
  message(FATAL_ERROR "The .deb has not what is installed; missing: ${installed}")
endif()
list(LENGTH packed count)
message(STATUS "${package}: ${count} files")
