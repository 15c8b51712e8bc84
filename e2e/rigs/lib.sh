# shellcheck shell=bash
# Sourced by the rigs: messages, downloads, free ports, daemons with pid files.
#
# A rig sets PART, its name, before it sources this file. Downloads and builds
# are shared in CACHE; everything a run makes is in STATE, so that two runs on
# one machine never meet.

CACHE=${EVENTSINK_CACHE:-$HOME/.cache/eventsink}
STATE=${EVENTSINK_STATE:-$CACHE/run}/$PART

note() { printf '%s\n' "$*" >&2; }
die() {
  note "${0##*/}: $*"
  exit 1
}

[[ $CACHE$STATE =~ ^/[^[:space:]]+$ ]] || die "EVENTSINK_CACHE and EVENTSINK_STATE must be absolute paths without spaces: $CACHE, $STATE"

# The address at which servers listen: the one they were made for, else the one asked for, else loopback.
# shellcheck disable=SC2034 # read by the rigs
HOST=$(cat "$STATE/host" 2>/dev/null || printf '%s\n' "${EVENTSINK_HOST:-127.0.0.1}")

need_commands() { # COMMAND[=DEBIAN_PACKAGE]...
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}")
  done
  ((${#missing[@]} == 0)) || die "missing programs; run: apt-get install -y ${missing[*]}"
}

# Makes DIR once, by COMMAND with DIR.new or DIR as it likes; a file .ready in it says that it is whole.
cached() { # DIR COMMAND...
  local dir=$1 began=$SECONDS
  shift
  mkdir -p "$CACHE"
  exec 8>"$dir.lock"
  flock -w 1200 8 || die "another command holds $dir.lock for 20 minutes"
  if [[ ! -e $dir/.ready ]]; then
    note "making ${dir##*/} (log: $dir.log)"
    rm -rf "$dir"
    mkdir -p "$dir"
    "$@" "$dir" >"$dir.log" 2>&1 8>&- || die "cannot make ${dir##*/}; read $dir.log"
    touch "$dir/.ready"
    note "made ${dir##*/} in $((SECONDS - began)) s"
  fi
  exec 8>&-
}

digest() { cat "$@" | sha256sum | cut -c1-12; }

log_file() { printf '%s/log/%s.log\n' "$STATE" "$1"; }
pid_file() { printf '%s/run/%s.pid\n' "$STATE" "$1"; }

# A crash leaves pid files behind and pids are reused, so a pid file holds the
# start time of the process as well. A zombie counts as dead, but not before its
# last thread: until then it can hold ports and write files.
start_time() { # PID
  awk '{ sub(/.*\) /, ""); if ($1 != "Z" || $18 > 1) print $20 }' "/proc/$1/stat" 2>/dev/null || true
}

is_running() { # NAME
  local pid started
  read -r pid started 2>/dev/null <"$(pid_file "$1")" || return 1
  [[ -n $started && $(start_time "$pid") == "$started" ]]
}

spawn() { # NAME COMMAND...
  local name=$1
  shift
  mkdir -p "$STATE/log" "$STATE/run"
  # setsid: an interrupt at the terminal is for the tests, which then end the daemon.
  setsid nohup "$@" </dev/null >>"$(log_file "$name")" 2>&1 &
  printf '%s %s\n' "$!" "$(start_time "$!")" >"$(pid_file "$name")"
}

stop() { # NAME
  local pid end=$((SECONDS + 20))
  if is_running "$1"; then
    read -r pid _ <"$(pid_file "$1")"
    kill -TERM "$pid" 2>/dev/null || true
    while is_running "$1" && ((SECONDS < end)); do sleep 0.1; done
    ! is_running "$1" || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$(pid_file "$1")"
}

wait_for() { # SECONDS DAEMON WHAT COMMAND...
  local limit=$1 end=$((SECONDS + $1)) name=$2 what=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    is_running "$name" || die "$name ended before $what; its log: $(tail -n 5 "$(log_file "$name")")"
    ((SECONDS < end)) || die "not within $limit s: $what; read $(log_file "$name")"
    sleep 0.2
  done
}

listens() { [[ -n $(ss -Hltn "sport = :$1") ]]; } # PORT

# Below the range from which the system takes ports for outgoing connections.
free_ports() { # COUNT: prints the first of that many ports in a row
  local first port tries=0
  while ((tries++ < 100)); do
    first=$((20000 + RANDOM % 12000))
    for ((port = first; port < first + $1; port++)); do
      ! listens "$port" || continue 2
    done
    printf '%s\n' "$first"
    return
  done
  die "no $1 free ports in a row between 20000 and 32000"
}

# Waits a little: the threads of a killed process hold its port a moment longer.
need_free_port() { # PORT WHAT
  local line end=$((SECONDS + 5))
  while line=$(ss -Hltnp "sport = :$1") && [[ -n $line ]]; do
    ((SECONDS < end)) || die "port $1, needed by $2, is taken by $(sed -n '1s/.*users:((\("[^)]*\)).*/\1/p' <<<"$line")"
    sleep 0.2
  done
}

# Up for as long as somebody holds the other end of our input: a test process
# that dies, even by kill -9, takes its servers and their folder with it.
hold() {
  trap '' INT
  trap 'down; rm -rf "$STATE"; rmdir "${STATE%/*}" 2>/dev/null || true' EXIT
  up
  cat >/dev/null
}
