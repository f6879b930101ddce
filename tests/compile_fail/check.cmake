# Compiles SOURCE twice: with CORRECTED defined it must compile, so that it fails for no other reason;
# without, it must fail, and say what follows "// error: " in its first line.
# usage: cmake -D COMPILER=<c++> -D INCLUDE=<folder> -D SOURCE=<file> -P check.cmake
file(STRINGS ${SOURCE} first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// error: (.+)$")
  message(FATAL_ERROR "the first line of ${SOURCE} names no error")
endif()
set(expected "${CMAKE_MATCH_1}")
set(compile ${COMPILER} -std=c++20 -fsyntax-only -I${INCLUDE})

execute_process(COMMAND ${compile} -DCORRECTED ${SOURCE} RESULT_VARIABLE status ERROR_VARIABLE said)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "the corrected twin does not compile:\n${said}")
endif()
execute_process(COMMAND ${compile} ${SOURCE} RESULT_VARIABLE status ERROR_VARIABLE said)
if(status EQUAL 0)
  message(FATAL_ERROR "it compiles, and must not")
endif()
string(FIND "${said}" "${expected}" place)
if(place EQUAL -1)
  message(FATAL_ERROR "expected the message\n  ${expected}\ngot\n${said}")
endif()
