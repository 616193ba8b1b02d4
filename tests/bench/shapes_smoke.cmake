# A benchmark beside libpq for a moment: every contender runs in every shape, and the JSON has every row and key. No figure
# is judged. BENCH, its ARGUMENTS, how many rows are OURS of them (libpq has LIBPQS more), and KEYS; the lists by blanks.
include(${CMAKE_CURRENT_LIST_DIR}/smoke_rows.cmake)
if("$ENV{RINGPG_TEST_SOCKET_DIR}" STREQUAL "")
  message("skipped: ${BENCH} needs a server (tests/run starts one)")
  return()
endif()
separate_arguments(ARGUMENTS)
separate_arguments(KEYS)
run_benchmark(${BENCH} --repetitions 1 ${ARGUMENTS} --host $ENV{RINGPG_TEST_SOCKET_DIR} --port $ENV{RINGPG_TEST_PORT}
              --json ${JSON_FILE})
set(expected ${OURS})
if(LIBPQ)
  math(EXPR expected "${OURS} + ${LIBPQS}")
endif()
check_rows(${JSON_FILE} ${expected} ${KEYS})
