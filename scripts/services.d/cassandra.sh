# shellcheck shell=bash disable=SC2154
# One Cassandra node, for the CQL store: part of scripts/services.
#
#   DIR/cassandra/address    contact point
#   DIR/cassandra/node.pid   its process
#   DIR/cassandra/node/      cassandra.yaml, data/, log

cassandra_port_default=9042
cassandra_seconds_max=120
cassandra_home="$dir/cassandra"

# cassandra_launch PORT: starts it if it does not run. PORT is "" for what was used before, or the default.
cassandra_launch() {
  local port=$1 lib known=''
  local folder="$cassandra_home/node"
  lib=$(jars_of cassandra)
  if [[ -f $cassandra_home/address ]]; then
    known=$(<"$cassandra_home/address")
    known=${known#*:}
    [[ -n $port && $port != 0 ]] || port=$known
  fi
  port=${port:-$cassandra_port_default}
  if pid_of "$folder" >/dev/null; then
    [[ $port == "$known" ]] || fail "cassandra in $dir runs on port $known, not $port: stop it first"
  else
    ((port != 0)) || port=$(free_port)
    require_free "$port" "choose another with --port N (0 = any free one)"
    mkdir -p "$folder"
    cassandra_yaml "$port" >"$folder/cassandra.yaml"
    start_java "$folder" "@$parts/cassandra/jvm.options" \
      "-Dlogback.configurationFile=file://$parts/cassandra/logback.xml" \
      "-Dcassandra.config=file://$folder/cassandra.yaml" "-Dcassandra.storagedir=$folder/data" \
      -cp "$lib/*" org.apache.cassandra.service.CassandraDaemon
  fi
  cassandra_port=$port
}

cassandra_yaml() {
  local port=$1 storage_port
  storage_port=$(free_port)
  cat "$parts/cassandra/cassandra.yaml"
  cat <<END

# This node. The storage port is for other nodes, and there are none.
native_transport_port: $port
storage_port: $storage_port
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:$storage_port"
data_file_directories: ["$folder/data/data"]
commitlog_directory: "$folder/data/commitlog"
saved_caches_directory: "$folder/data/saved_caches"
hints_directory: "$folder/data/hints"
END
}

cassandra_await() {
  await "$cassandra_home/node" "$cassandra_port" "$cassandra_seconds_max" cassandra_answers
  printf '127.0.0.1:%s\n' "$cassandra_port" >"$cassandra_home/address"
}

# A CQL version 4 frame with OPTIONS; the reply is a frame (0x84) with SUPPORTED (0x06).
cassandra_answers() {
  local reply
  reply=$(reply_to "$1" '\x04\x00\x00\x00\x05\x00\x00\x00\x00' 9) || return 1
  [[ $reply == 84000000""06* ]]
}
