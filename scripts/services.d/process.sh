# shellcheck shell=bash disable=SC2154
# Runs a service's processes: ports, starting detached, waiting for an answer, stopping. Part of scripts/services.

stop_seconds_max=20
# Tenths of a second.
port_tries_max=30
folders_started=()

# pid_of FOLDER: prints the pid recorded beside FOLDER, if that process lives and is ours (its command line names FOLDER).
# A pid file outlives a crash or a reboot, and by then its number may be somebody else's.
pid_of() {
  local folder=$1 pid
  [[ -f $folder.pid ]] || return 1
  pid=$(<"$folder.pid")
  [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$folder/" || return 1
  printf '%s\n' "$pid"
}

# start_java FOLDER ARGUMENT…: runs java detached from this shell, with its output in FOLDER/log and its pid in FOLDER.pid.
start_java() {
  local folder=$1
  shift
  [[ ! -f $folder/log ]] || mv "$folder/log" "$folder/log.before"
  # Descriptor 9 is the lock: a service that inherited it would hold it for ever.
  setsid "$java" "$@" </dev/null >"$folder/log" 2>&1 9>&- &
  local pid=$!
  printf '%s\n' "$pid" >"$folder.pid"
  folders_started+=("$folder")
  # Until exec has happened it is still this script by its command line, which pid_of would not take for ours.
  until pid_of "$folder" >/dev/null || ! kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
}

# await FOLDER PORT SECONDS_MAX PROBE: waits until PROBE PORT succeeds; fails with the log's end when the process is
# gone or the time is over.
await() {
  local folder=$1 port=$2 seconds_max=$3 probe=$4 deadline
  deadline=$((SECONDS + seconds_max))
  until "$probe" "$port"; do
    if ! pid_of "$folder" >/dev/null; then
      tail -n 30 "$folder/log" >&2
      fail "$folder ended before it answered; its log is $folder/log"
    fi
    if ((SECONDS >= deadline)); then
      tail -n 30 "$folder/log" >&2
      fail "$folder did not answer on port $port within $seconds_max s; its log is $folder/log"
    fi
    sleep 0.1
  done
}

# reply_to PORT REQUEST COUNT: sends REQUEST (printf escapes) and prints the reply's first COUNT bytes in hexadecimal.
reply_to() {
  local port=$1 request=$2 count=$3
  (
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf '%b' "$request" >&3
    timeout 5 head -c "$count" <&3 | od -An -v -tx1 | tr -d ' \n'
  ) 2>/dev/null
}

# stop_java FOLDER…: ends the processes of all FOLDERs together: TERM, and KILL for what is left when the time is over.
stop_java() {
  local folder pid deadline
  deadline=$((SECONDS + stop_seconds_max))
  for folder in "$@"; do
    if pid=$(pid_of "$folder"); then kill -TERM "$pid" 2>/dev/null || true; fi
  done
  for folder in "$@"; do
    while pid=$(pid_of "$folder"); do
      if ((SECONDS >= deadline)); then kill -KILL "$pid" 2>/dev/null || true; fi
      sleep 0.1
    done
    rm -f "$folder.pid"
  done
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# require_free PORT REMEDY: fails, with the way out, when something listens on PORT. A process that was killed a moment
# ago may still hold its sockets, hence the patience.
require_free() {
  local tries
  for ((tries = 0; tries < port_tries_max; tries++)); do
    port_taken "$1" || return 0
    sleep 0.1
  done
  fail "port $1 on 127.0.0.1 is taken: stop what listens there, or $2"
}

# free_port: prints a port on which nothing listens, below the range from which the kernel gives out ports to clients.
free_port() {
  local port tries
  for ((tries = 0; tries < 100; tries++)); do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
    if ! port_taken "$port"; then
      printf '%s\n' "$port"
      return
    fi
  done
  fail "found no free port between 10000 and 30000"
}
