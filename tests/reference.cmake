# The reference by Doxygen: the target locmoe_reference writes it as HTML, and a test fails where a public
# name has no documentation.
find_program(LOCMOE_DOXYGEN doxygen)
find_program(LOCMOE_AWK awk)
if(NOT LOCMOE_DOXYGEN OR NOT LOCMOE_AWK)
  message(STATUS "locmoe: no doxygen or awk found, the reference is neither written nor checked")
  return()
endif()
foreach(LOCMOE_REFERENCE IN ITEMS HTML XML)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/doxygen/Doxyfile.in
    ${PROJECT_BINARY_DIR}/reference/Doxyfile.${LOCMOE_REFERENCE} @ONLY)
endforeach()
add_custom_target(locmoe_reference
  COMMAND ${LOCMOE_DOXYGEN} ${PROJECT_BINARY_DIR}/reference/Doxyfile.HTML
  COMMENT "Writing ${PROJECT_BINARY_DIR}/reference/html" VERBATIM)
add_test(NAME "Every public name is documented"
  COMMAND ${CMAKE_COMMAND} -D DOXYGEN=${LOCMOE_DOXYGEN} -D AWK=${LOCMOE_AWK}
    -D REFERENCE=${PROJECT_BINARY_DIR}/reference -P ${CMAKE_CURRENT_SOURCE_DIR}/documented.cmake)
