# Somebody else's project (tests/consumer) builds and runs with an installed locmoe, for the core and for
# the components apart, and with its sources in a subdirectory.
get_property(components GLOBAL PROPERTY LOCMOE_COMPONENTS)
list(JOIN components "," components)  # semicolons would not survive add_test
set(consumer_dir ${CMAKE_CURRENT_BINARY_DIR}/consumer)
set(prefix ${consumer_dir}/prefix)

function(locmoe_consumer_test name folder)
  add_test(NAME "${name}"
    COMMAND ${CMAKE_CTEST_COMMAND}
      --build-and-test ${CMAKE_CURRENT_SOURCE_DIR}/consumer ${consumer_dir}/${folder}
      --build-generator ${CMAKE_GENERATOR} --build-makeprogram ${CMAKE_MAKE_PROGRAM} --build-noclean
      --build-options -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} "-DCMAKE_CXX_FLAGS=${CMAKE_CXX_FLAGS}"
        -DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER} ${ARGN}
      --test-command ${consumer_dir}/${folder}/consumer)
endfunction()

add_test(NAME "Installs"
  COMMAND ${CMAKE_COMMAND} --install ${PROJECT_BINARY_DIR} --prefix ${prefix})
set_tests_properties("Installs" PROPERTIES FIXTURES_SETUP installed)

locmoe_consumer_test("A project finds the installed core" core -DCMAKE_PREFIX_PATH=${prefix})
locmoe_consumer_test("A project finds the installed components" components
  -DCMAKE_PREFIX_PATH=${prefix} "-DCOMPONENTS=${components}")
set_tests_properties("A project finds the installed core" "A project finds the installed components"
  PROPERTIES FIXTURES_REQUIRED installed)
locmoe_consumer_test("A project adds locmoe as a subdirectory" subdirectory
  -DLOCMOE_SOURCE_DIR=${PROJECT_SOURCE_DIR} "-DCOMPONENTS=${components}")
