# `cpack` in a build folder makes a .deb of what `cmake --install` installs: headers, CMake's and
# pkg-config's files. Its adapters are those whose third parties were there; none is required.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME locmoe)
set(CPACK_PACKAGE_CONTACT "The locmoe authors")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libboost-dev, libboost-mpi-dev, libxtensor-dev, libeigen3-dev,\
 libdlpack-dev, nlohmann-json3-dev, libtorch-dev, pkg-config")
include(CPack)
