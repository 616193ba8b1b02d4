# What the benchmark's smoke tests share: to run a program, and to read the list of rows that it has written as JSON.

# The program and its arguments; it must succeed. What it said is in `output`.
function(run_benchmark)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command} failed (${result}):\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# `json`: the text; `rows`: how many; `last`: the last one's number.
function(read_rows path)
  file(READ ${path} json)
  string(JSON rows LENGTH "${json}")
  math(EXPR last "${rows} - 1")
  foreach(name json rows last)
    set(${name} "${${name}}" PARENT_SCOPE)
  endforeach()
endfunction()

# There are as many rows as expected, and each has a figure above 0 under each of the keys that follow.
function(check_rows path expected)
  read_rows(${path})
  if(NOT rows EQUAL expected)
    message(FATAL_ERROR "${rows} rows, not ${expected}\n${json}")
  endif()
  foreach(row RANGE ${last})
    foreach(key ${ARGN})
      string(JSON figure GET "${json}" ${row} ${key})
      if(NOT figure GREATER 0)
        message(FATAL_ERROR "row ${row}: ${key} is ${figure}\n${json}")
      endif()
    endforeach()
  endforeach()
  message(STATUS "${rows} rows")
endfunction()
