include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(locmoe_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/locmoe)
install(TARGETS locmoe EXPORT locmoe_core FILE_SET HEADERS)
install(EXPORT locmoe_core NAMESPACE locmoe:: DESTINATION ${locmoe_package_dir})

# One targets file a component: whoever asks for the core never looks for MPI.
get_property(locmoe_components GLOBAL PROPERTY LOCMOE_COMPONENTS)
foreach(component IN LISTS locmoe_components)
  install(TARGETS locmoe_${component} EXPORT locmoe_${component} FILE_SET HEADERS)
  install(EXPORT locmoe_${component} NAMESPACE locmoe:: DESTINATION ${locmoe_package_dir})
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/locmoeConfig.cmake.in
  ${PROJECT_BINARY_DIR}/locmoeConfig.cmake INSTALL_DESTINATION ${locmoe_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/locmoeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/locmoeConfig.cmake ${PROJECT_BINARY_DIR}/locmoeConfigVersion.cmake
  DESTINATION ${locmoe_package_dir})

# pkg-config: the headers' folder, said relative to the file, so that the installed tree can be moved.
set(locmoe_pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
file(RELATIVE_PATH locmoe_include_from_pc /${locmoe_pkgconfig_dir} /${CMAKE_INSTALL_INCLUDEDIR})
configure_file(${PROJECT_SOURCE_DIR}/cmake/locmoe.pc.in ${PROJECT_BINARY_DIR}/locmoe.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/locmoe.pc DESTINATION ${locmoe_pkgconfig_dir})

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/locmoe
  RENAME copyright)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/packaging/CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/locmoe)
