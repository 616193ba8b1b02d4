# The part latency with small shell scripts in place of foreign drivers: one that knows its options is run closed and
# then open at a share of that, and its figures are in table and JSON; one that does not know them fails and is run no
# more; one that is not there is named, and the run succeeds. No server is asked.
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER})

function(peer name script)
  file(WRITE ${FOLDER}/${name} "#!/bin/sh\necho \"$*\" >>'${FOLDER}/${name}.runs'\n${script}\n")
  file(CHMOD ${FOLDER}/${name} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  file(REMOVE ${FOLDER}/${name}.runs)
endfunction()

# Runs one contender of them, with the options at the end; `wanted` is a regular expression of its output.
function(run contender expected_result wanted)
  execute_process(COMMAND ${BENCH} --host 127.0.0.1 --port 1 --no-table --repetitions 2 --seconds 0.1 --peers ${FOLDER}
                          --contender ${contender} --json ${FOLDER}/figures.json ${ARGN}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  if(NOT result EQUAL expected_result)
    message(FATAL_ERROR "${contender}: ended with ${result}, not ${expected_result}:\n${output}\n${errors}")
  endif()
  if(NOT "${output}${errors}" MATCHES "${wanted}")
    message(FATAL_ERROR "${contender}: no '${wanted}' in\n${output}\n${errors}")
  endif()
endfunction()

# How often it was run, and with what.
function(expect_runs name expected_count wanted)
  file(STRINGS ${FOLDER}/${name}.runs lines)
  list(LENGTH lines count)
  if(NOT count EQUAL expected_count OR NOT lines MATCHES "${wanted}")
    message(FATAL_ERROR "${name} was run ${count} times, not ${expected_count}, or not with '${wanted}':\n${lines}")
  endif()
endfunction()

# 1000 in 50 ms, its best, or what it was asked for.
set(line "{\"answered\": 1000, \"wall_ns\": 50000000, \"cpu_ns\": 4000000, \"switches\": -1, \"peak_kib\": 77, ")
set(version "\"version\": \"pgx 1.2\"}")
set(took "\"p50_us\": 100.0, \"p99_us\": 200.5, \"p999_us\": 9e3, ")
peer(pgx "case \"$*\" in *--latencies*) echo '${line}${took}${version}' ;; *) echo '${line}${version}' ;; esac")
run(pgx 0 "\nalone +pgx +20000 +100\\.0 +\\(100-100\\) +200\\.5 +\\(.*\n95 % +pgx .*\npeers: pgx 1\\.2\n")
set(target "--host 127.0.0.1 --port 1 --user postgres --database postgres")
set(many "${target} --connections 8 --in-flight 8")
set(alone "${target} --connections 1 --in-flight 1 --warm-ms 20 --measure-ms 100 --latencies 1")
set(peak "${many} --warm-ms 10 --measure-ms 50")
set(open "${many} --warm-ms 20 --measure-ms 100 --latencies 1 --rate")
expect_runs(pgx 14 "^${alone};${peak};${open} 10000;${peak};${open} 16000;${peak};${open} 19000;${alone};")
file(READ ${FOLDER}/figures.json json)
string(JSON rows LENGTH "${json}")
if(NOT rows EQUAL 4)
  message(FATAL_ERROR "${rows} rows, not 4\n${json}")
endif()
foreach(pair load=alone contender=pgx qps=20000 p50_us=100 p99_us=200.5 p999_us=9000 repetitions=2)
  string(REGEX MATCH "^([^=]*)=(.*)$" pair "${pair}")
  set(wanted "${CMAKE_MATCH_2}")
  string(JSON found GET "${json}" 0 ${CMAKE_MATCH_1})
  if(NOT found STREQUAL wanted AND NOT found EQUAL wanted)
    message(FATAL_ERROR "${pair}: found ${found} in\n${json}")
  endif()
endforeach()

# In a quick run under two of the loads.
peer(pgx "echo began\ncase \"$*\" in *--latencies*) echo '${line}${took}${version}' ;; *) echo '${line}${version}' ;; esac")
run(pgx 0 "\nalone +pgx [^\n]*\n80 % +pgx [^\n]*\nalone: " --quick)
expect_runs(pgx 6 "^${alone};${peak};${open} 16000;${alone};")

# One that knows neither option: it says nothing of latencies, or ends.
foreach(took "" "\"p50_us\": 1, \"p99_us\": 2, " "\"p50_us\": 9, \"p99_us\": 8, \"p999_us\": 7, ")
  peer(pgx "echo '${line}${took}${version}'")
  run(pgx 1 "\nalone +pgx +not measured\n.*pgx: it does not say how long its queries took\n.*a run failed")
  expect_runs(pgx 1 "^${alone}$")
endforeach()
peer(pgx "case \"$*\" in *--latencies*) echo 'no option' >&2; exit 2 ;; *) echo '${line}${version}' ;; esac")
run(pgx 1 "\n95 % +pgx +not measured\n.*no option\n.*pgx: its program failed\n.*a run failed")
expect_runs(pgx 1 "^${alone}$")

# One that knows only how to be alone.
set(took "\"p50_us\": 1, \"p99_us\": 2, \"p999_us\": 3, ")
peer(pgx "case \"$*\" in *--rate*) exit 2 ;; *) echo '${line}${took}${version}' ;; esac")
run(pgx 1 "\nalone +pgx +20000 .*\n50 % +pgx +not measured\n.*pgx: its program failed")
expect_runs(pgx 3 "^${alone};${peak};${open} 10000$")

file(WRITE ${FOLDER}/tokio-postgres.why "no cargo\n")
run(tokio-postgres 0 "not there: tokio-postgres \\(no cargo\\)\n")
message(STATUS "the peers' latencies, failures and absences told")
