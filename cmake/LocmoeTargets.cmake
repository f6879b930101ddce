# The core needs the standard library alone. Each adapter is a target of its own, there only where its
# third party was found, so that nobody looks for MPI who does not use it.
file(GLOB_RECURSE locmoe_core_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/locmoe/*.hpp)
list(FILTER locmoe_core_headers EXCLUDE REGEX "/locmoe/adapt/")
list(FILTER locmoe_core_headers EXCLUDE REGEX "/locmoe/capacity/exact")
file(GLOB locmoe_exact_headers CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/include/locmoe/capacity/exact*.hpp)

add_library(locmoe INTERFACE)
add_library(locmoe::locmoe ALIAS locmoe)
target_compile_features(locmoe INTERFACE cxx_std_20)
target_sources(locmoe INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include
  FILES ${locmoe_core_headers})

# locmoe_component(name HEADERS file... LINK target...): locmoe::name, the core and a third party.
function(locmoe_component name)
  cmake_parse_arguments(arg "" "" "HEADERS;LINK" ${ARGN})
  add_library(locmoe_${name} INTERFACE)
  add_library(locmoe::${name} ALIAS locmoe_${name})
  set_target_properties(locmoe_${name} PROPERTIES EXPORT_NAME ${name})
  target_sources(locmoe_${name} INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include
    FILES ${arg_HEADERS})
  target_link_libraries(locmoe_${name} INTERFACE locmoe ${arg_LINK})
  set_property(GLOBAL APPEND PROPERTY LOCMOE_COMPONENTS ${name})
endfunction()

set(adapt ${PROJECT_SOURCE_DIR}/include/locmoe/adapt)

find_package(Boost 1.74 QUIET COMPONENTS mpi)
if(NOT Boost_FOUND)
  find_package(Boost 1.74 QUIET)  # Boost.Math needs headers only
endif()
if(Boost_FOUND)
  locmoe_component(exact_capacity HEADERS ${locmoe_exact_headers} LINK Boost::headers)
endif()

find_package(MPI QUIET COMPONENTS CXX)
if(MPI_CXX_FOUND)
  locmoe_component(mpi HEADERS ${adapt}/mpi.hpp ${adapt}/detail/idle_requests.hpp
    ${adapt}/detail/check_mpi.hpp ${adapt}/detail/mpi_meetings.hpp ${adapt}/detail/mpi_watch.hpp
    ${adapt}/detail/mpi_words.hpp ${adapt}/detail/own_communicator.hpp LINK MPI::MPI_CXX)
  target_compile_definitions(locmoe_mpi INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
  if(TARGET Boost::mpi)
    locmoe_component(boost_mpi HEADERS ${adapt}/boost_mpi.hpp LINK locmoe_mpi Boost::mpi)
  endif()
endif()

find_package(xtensor QUIET)
if(xtensor_FOUND)
  locmoe_component(xtensor HEADERS ${adapt}/xtensor.hpp LINK xtensor)
endif()

find_package(nlohmann_json QUIET)
if(nlohmann_json_FOUND)
  locmoe_component(cluster_file HEADERS ${adapt}/cluster_file.hpp ${adapt}/detail/cluster_reader.hpp
    LINK nlohmann_json::nlohmann_json)
endif()

find_package(Eigen3 3.4 QUIET NO_MODULE)
if(Eigen3_FOUND)
  locmoe_component(eigen HEADERS ${adapt}/eigen.hpp LINK Eigen3::Eigen)
endif()

find_package(dlpack QUIET)
if(dlpack_FOUND)
  locmoe_component(dlpack HEADERS ${adapt}/dlpack.hpp LINK dlpack::dlpack)
endif()

# Large, so no script of ours installs it; CMAKE_DISABLE_FIND_PACKAGE_Torch=ON leaves it out where it is.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL TRUE)  # its targets name others, which users must see too
find_package(Torch QUIET)
unset(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL)
if(Torch_FOUND)
  locmoe_component(torch HEADERS ${adapt}/torch.hpp ${adapt}/torch_autograd.hpp LINK torch)
else()
  message(STATUS "locmoe: the adapter for LibTorch is left out: no LibTorch")
endif()
