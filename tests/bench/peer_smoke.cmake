# The benchmark's peers without a foreign driver: small shell scripts stand in for them. One that answers has its rows
# in table and JSON; one that is not there is named with its reason, and the run succeeds; one that fails, one that
# prints something else and one that hangs are named, run once, and the run fails.
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER})

function(peer name script)
  file(WRITE ${FOLDER}/${name} "#!/bin/sh\n${script}\n")
  file(CHMOD ${FOLDER}/${name} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()

# Runs one contender of them; `wanted` is a regular expression of its output.
function(run contender expected_result wanted)
  execute_process(COMMAND ${BENCH} --server null --repetitions 3 --seconds 0.05 --quick --no-strace --peers ${FOLDER}
                          --contender ${contender} --json ${FOLDER}/figures.json
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  if(NOT result EQUAL expected_result)
    message(FATAL_ERROR "${contender}: ended with ${result}, not ${expected_result}:\n${output}\n${errors}")
  endif()
  if(NOT "${output}${errors}" MATCHES "${wanted}")
    message(FATAL_ERROR "${contender}: no '${wanted}' in\n${output}\n${errors}")
  endif()
  set(said "${output}${errors}" PARENT_SCOPE)
endfunction()

set(figures "{\"answered\": 1000, \"wall_ns\": 50000000, \"cpu_ns\": 4000000, \"switches\": -1, \"peak_kib\": 77, ")
set(arguments "--host 127.0.0.1 --port [0-9]* --user bench --database bench --connections 8 --in-flight 8 ")
string(APPEND arguments "--warm-ms 250 --measure-ms 50 --latencies 8")
peer(pgx "echo \"$*\" >>'${FOLDER}/arguments'\necho '${figures}\"version\": \"pgx 1.2\"}'")
run(pgx 0 "\npgx +null +8 +8 +each +20000 .* 4\\.00 .*peers: pgx 1\\.2")
file(STRINGS ${FOLDER}/arguments lines)
list(LENGTH lines count)
if(NOT count EQUAL 3 OR NOT lines MATCHES "^${arguments};")
  message(FATAL_ERROR "the peer was run ${count} times, with\n${lines}")
endif()
file(READ ${FOLDER}/figures.json json)
foreach(pair contender=pgx server=null connections=8 in_flight=8 sync=each qps=20000 client_us_per_query=4
        driver=pgx\ 1.2 peak_rss_kib=77 repetitions=3 backend_us_per_query=
        allocations_per_query= voluntary_switches_per_query= p50_us= p99_us=
        syscalls_per_query=)
  string(REGEX MATCH "^([^=]*)=(.*)$" pair "${pair}")
  set(wanted "${CMAKE_MATCH_2}")
  string(JSON found GET "${json}" 0 ${CMAKE_MATCH_1})
  if(NOT found STREQUAL wanted AND NOT (wanted AND found EQUAL wanted))
    message(FATAL_ERROR "${pair}: found ${found} in\n${json}")
  endif()
endforeach()

peer(pgbench "echo '${figures}\"version\": \"pgbench 9\", \"sync\": \"batch\"}'")
run(pgbench 0 "\npgbench +null +8 +8 +batch ")

# One that says when it begins, and how long its queries take.
peer(pgx "echo began\nsleep 0.1\necho '${figures}\"p50_us\": 300.5, \"p99_us\": 700, \"version\": \"pgx 1.2\"}'")
run(pgx 0 "\npgx +null +8 +8 +each +20000 .*\npgx +null +8 +8 +[0-9.]+ +- +- +77 +300 +700\n")
file(READ ${FOLDER}/figures.json json)
foreach(key backend_us_per_query p50_us p99_us)
  string(JSON found TYPE "${json}" 0 ${key})
  if(NOT found STREQUAL NUMBER)
    message(FATAL_ERROR "${key} is ${found} in\n${json}")
  endif()
endforeach()

file(WRITE ${FOLDER}/tokio-postgres.why "no cargo\n")
run(tokio-postgres 1 "not there: tokio-postgres \\(no cargo\\)\n.*no case is left to run")
run(postgres.js 1 "not there: postgres.js \\(no program [^ ]*/postgres.js\\)\n")

peer(pg "echo run >>'${FOLDER}/pg.runs'\necho 'pg: the server went away' >&2\nexit 3")
run(pg 1 "pg: the server went away\n.*pg: its program failed.*\n.*a run failed")
file(STRINGS ${FOLDER}/pg.runs lines)
if(NOT lines STREQUAL "run" OR NOT said MATCHES "\npg +null +8 +8 +each failed\n")
  message(FATAL_ERROR "a peer that failed was run again, or is not in the table: ${lines}\n${said}")
endif()

peer(pg "echo '${figures}\"version\": \"pg 1\"}'\nexit 1")
run(pg 1 "pg: its program failed")
foreach(line "hello" "{}" "${figures}\"version\": 7}" "{\"answered\": 0, \"wall_ns\": 1, \"cpu_ns\": 1}" "")
  peer(asyncpg "echo '${line}'")
  run(asyncpg 1 "asyncpg +null +8 +8 +each failed.*asyncpg: this is no line of figures: '")
endforeach()
peer(psycopg "exec sleep 60")
run(psycopg 1 "psycopg: no figures within 1[0-9] s, ended")

# Among the others: those that are there have rows, those that are not are named, and all of it succeeds.
file(REMOVE ${FOLDER}/pg ${FOLDER}/asyncpg ${FOLDER}/psycopg)
execute_process(COMMAND ${BENCH} --server null --repetitions 1 --queries 300 --no-strace --peers ${FOLDER}
                        --json ${FOLDER}/figures.json --plot ${FOLDER}/figures.svg
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "with some peers: ended with ${result}:\n${output}")
endif()
foreach(missing tokio-postgres postgres.js asyncpg psycopg pg)
  if(NOT output MATCHES "not there: ${missing} \\(no ")
    message(FATAL_ERROR "${missing} is not named:\n${output}")
  endif()
endforeach()
file(READ ${FOLDER}/figures.json json)
file(READ ${FOLDER}/figures.svg svg)
foreach(there pgx pgbench floor)
  if(NOT json MATCHES "\"contender\": \"${there}\"" OR NOT svg MATCHES ">${there}</text>")
    message(FATAL_ERROR "${there} has no row or no line:\n${output}")
  endif()
endforeach()
message(STATUS "peers: figures, failures and absences told")
