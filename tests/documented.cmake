# Fails where a public name has no documentation. Doxygen knows most of them, but is silent on enumerators
# and concepts, and where its filter hands it nothing to read.
# usage: cmake -D DOXYGEN=<doxygen> -D AWK=<awk> -D REFERENCE=<folder of Doxyfile.XML> -P documented.cmake
file(REMOVE_RECURSE ${REFERENCE}/xml)
execute_process(COMMAND ${DOXYGEN} ${REFERENCE}/Doxyfile.XML RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "doxygen ended with ${status}")
endif()
file(GLOB pages ${REFERENCE}/xml/*.xml)
execute_process(COMMAND ${AWK} -f ${CMAKE_CURRENT_LIST_DIR}/documented.awk ${pages}
  RESULT_VARIABLE status OUTPUT_VARIABLE missing)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "no documentation of\n${missing}")
endif()
