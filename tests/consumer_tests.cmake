# Somebody else's project (tests/consumer) builds and runs with locmoe, whatever way it comes: installed,
# for the core and for the components apart, by CMake, a .deb, a port, or pkg-config; its sources in a
# subdirectory or fetched; as one header.
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
locmoe_consumer_test("A project fetches locmoe" fetched -DLOCMOE_SOURCE_DIR=${PROJECT_SOURCE_DIR}
  -DFETCH=ON)

# locmoe_script_test(name script argument...): a script of tests/consumer with what all of them take.
function(locmoe_script_test name script)
  add_test(NAME "${name}" COMMAND ${CMAKE_COMMAND} -D COMPILER=${CMAKE_CXX_COMPILER}
    -D ROOT=${PROJECT_SOURCE_DIR} -D VERSION=${PROJECT_VERSION} -D PREFIX=${prefix} ${ARGN}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/consumer/${script}.cmake)
endfunction()

locmoe_script_test("Installed headers include what is installed" includes
  -D BUILD=${PROJECT_BINARY_DIR} -D FOLDER=${consumer_dir}/includes)

locmoe_script_test("Two source files of a project share the single header" single_header/check
  -D FOLDER=${consumer_dir}/single_header)

find_program(PKG_CONFIG pkg-config)
if(PKG_CONFIG)
  locmoe_script_test("A compiler finds the installed core by pkg-config" pkg_config
    -D PKG_CONFIG=${PKG_CONFIG} -D FOLDER=${consumer_dir}/pkg_config)
  set_tests_properties("A compiler finds the installed core by pkg-config" PROPERTIES
    FIXTURES_REQUIRED installed)
endif()

find_program(DPKG dpkg)
if(DPKG)
  locmoe_script_test("Makes a Debian package that dpkg installs" deb
    -D CPACK=${CMAKE_CPACK_COMMAND} -D BUILD=${PROJECT_BINARY_DIR} -D FOLDER=${consumer_dir}/deb)
  set_tests_properties("Makes a Debian package that dpkg installs" PROPERTIES
    FIXTURES_SETUP debian)
  locmoe_consumer_test("A project finds the Debian package" debian
    -DCMAKE_PREFIX_PATH=${consumer_dir}/deb/root/usr)
  set_tests_properties("A project finds the Debian package" PROPERTIES FIXTURES_REQUIRED debian)
endif()

if(TARGET locmoe::eigen)
  locmoe_script_test("The steps of the vcpkg port install the core and a feature" vcpkg
    -D FOLDER=${consumer_dir}/vcpkg)
  set_tests_properties("The steps of the vcpkg port install the core and a feature" PROPERTIES
    FIXTURES_SETUP port)
  locmoe_consumer_test("A project finds what the vcpkg port installs" port
    -DCMAKE_PREFIX_PATH=${consumer_dir}/vcpkg/packages -DCOMPONENTS=eigen)
  set_tests_properties("A project finds what the vcpkg port installs" PROPERTIES
    FIXTURES_REQUIRED port)
endif()

find_program(PYTHON python3)
if(PYTHON)
  locmoe_script_test("Recipes for Conan and Spack compile and have the version" recipes
    -D PYTHON=${PYTHON})
endif()
