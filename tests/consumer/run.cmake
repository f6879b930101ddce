# run(COMMAND...): stops with what the command printed unless it succeeds; its output is in `printed`.
cmake_minimum_required(VERSION 3.23)

macro(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE printed ERROR_VARIABLE words)
  if(failed)
    message(FATAL_ERROR "${ARGN}:\n${printed}${words}")
  endif()
endmacro()
