add_library(locmoe_warnings INTERFACE)
target_compile_options(locmoe_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
  $<$<BOOL:${LOCMOE_WARNINGS_AS_ERRORS}>:-Werror>)
