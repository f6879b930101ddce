# An overlay port: its sources are the checkout that it stands in.
set(VCPKG_BUILD_TYPE release)  # headers only

get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

# A feature that is not asked for is not looked for either, whatever else is installed.
vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS
  FEATURES
    cluster-file CMAKE_REQUIRE_FIND_PACKAGE_nlohmann_json
    dlpack CMAKE_REQUIRE_FIND_PACKAGE_dlpack
    eigen CMAKE_REQUIRE_FIND_PACKAGE_Eigen3
    mpi CMAKE_REQUIRE_FIND_PACKAGE_MPI
    torch CMAKE_REQUIRE_FIND_PACKAGE_Torch
    xtensor CMAKE_REQUIRE_FIND_PACKAGE_xtensor
  INVERTED_FEATURES
    cluster-file CMAKE_DISABLE_FIND_PACKAGE_nlohmann_json
    dlpack CMAKE_DISABLE_FIND_PACKAGE_dlpack
    eigen CMAKE_DISABLE_FIND_PACKAGE_Eigen3
    exact-capacity CMAKE_DISABLE_FIND_PACKAGE_Boost
    mpi CMAKE_DISABLE_FIND_PACKAGE_MPI
    torch CMAKE_DISABLE_FIND_PACKAGE_Torch
    xtensor CMAKE_DISABLE_FIND_PACKAGE_xtensor)

vcpkg_cmake_configure(SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS -DLOCMOE_BUILD_TESTS=OFF -DLOCMOE_BUILD_EXAMPLES=OFF -DLOCMOE_BUILD_BENCH=OFF
    ${FEATURE_OPTIONS})
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/locmoe)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/doc")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
