# Writes OUTPUT, a header with the version and the commit, when they have changed. Run at every build.
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#pragma once
#define LOCKSTEP_VERSION \"${VERSION}\"
#define LOCKSTEP_COMMIT \"${commit}\"
")
