# The LibTorch trainer ends on the held-out loss of the xtensor trainer, whose first numbers and batches
# it has, to a thousandth of a bit.
# cmake -D TORCH_TRAIN=<program> -D TRAIN=<program> -P torch_loss.cmake
function(held_out result pattern)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT status EQUAL 0 OR NOT said MATCHES "${pattern} +([0-9]+)\\.([0-9][0-9][0-9][0-9])")
    message(FATAL_ERROR "${ARGN} says no held-out loss:\n${said}")
  endif()
  set(${result} ${CMAKE_MATCH_1}${CMAKE_MATCH_2} PARENT_SCOPE)  # in ten-thousandths
endfunction()

foreach(router switch locmoe)
  held_out(ours "\n${router}" ${TRAIN} --router ${router} --steps 8)
  held_out(torch "held out" ${TORCH_TRAIN} --router ${router} --steps 8)
  math(EXPR apart "${torch} - ${ours}")
  if(apart GREATER 10 OR apart LESS -10)
    message(FATAL_ERROR "${router}: ${torch} ten-thousandths of a bit, the xtensor trainer has ${ours}")
  endif()
endforeach()
