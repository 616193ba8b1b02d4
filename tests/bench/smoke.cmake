# The benchmark on its null server with few queries: every contender answers rightly and the JSON has every row and key. No
# figure is judged.
execute_process(COMMAND ${BENCH} --server null --repetitions 1 --queries 500 --no-strace --json ${JSON_FILE}
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "the benchmark failed (${result}):\n${output}")
endif()

file(READ ${JSON_FILE} json)
string(JSON rows LENGTH "${json}")
set(expected ringpg-shared ringpg-lease floor)
if(LIBPQ)
  list(APPEND expected libpq-epoll libpq-pipeline)
endif()
set(types contender STRING server STRING workload STRING connections NUMBER in_flight NUMBER sync STRING qps NUMBER
    client_us_per_query NUMBER syscalls_per_query NULL
    backend_us_per_query NUMBER voluntary_switches_per_query NUMBER peak_rss_kib NUMBER)
if(SANITIZE)
  list(APPEND types allocations_per_query NULL) # the sanitizer's own allocator is in place
else()
  list(APPEND types allocations_per_query NUMBER)
endif()

math(EXPR last "${rows} - 1")
foreach(row RANGE ${last})
  set(left ${types})
  while(left)
    list(POP_FRONT left key type)
    string(JSON found TYPE "${json}" ${row} ${key})
    if(NOT found STREQUAL type)
      message(FATAL_ERROR "row ${row}: ${key} is ${found}, not ${type}\n${json}")
    endif()
  endwhile()
  string(JSON qps GET "${json}" ${row} qps)
  string(JSON contender GET "${json}" ${row} contender)
  if(NOT qps GREATER 0)
    message(FATAL_ERROR "row ${row}: ${contender} has ${qps} q/s\n${json}")
  endif()
  list(REMOVE_ITEM expected ${contender})
endforeach()
if(expected)
  message(FATAL_ERROR "no row of ${expected}\n${json}")
endif()
message(STATUS "${rows} rows, every key there")
