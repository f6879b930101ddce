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
