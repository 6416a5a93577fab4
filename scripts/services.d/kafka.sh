# shellcheck shell=bash disable=SC2154
# Kafka in KRaft mode, one node or three, each broker and controller at once: part of scripts/services.
#
#   DIR/kafka/address      bootstrap servers, joined by commas
#   DIR/kafka/cluster      what was fixed when the cluster was formatted: its id, and each node's controller port
#   DIR/kafka/node-N.pid   the node's process
#   DIR/kafka/node-N/      server.properties, data/, log

kafka_port_default=9092
kafka_seconds_max=60
kafka_home="$dir/kafka"

# kafka_launch PORT NODES: starts the nodes that do not run. PORT is "" for what was used before, or the default.
kafka_launch() {
  local port=$1 nodes=$2 lib node folder
  lib=$(jars_of kafka)
  [[ -f $lib.jsa || -n ${JOBICO_SERVICES_TRAINING:-} ]] || kafka_train
  if [[ ! -f $kafka_home/cluster ]]; then
    kafka_plan "${nodes:-1}" >"$kafka_home/cluster.new"
    mv "$kafka_home/cluster.new" "$kafka_home/cluster"
  fi
  local cluster_id count controller_ports directory_ids
  # shellcheck source=/dev/null
  source "$kafka_home/cluster"
  if [[ -n $nodes && $nodes != "$count" ]]; then
    fail "$kafka_home holds a cluster of $count node(s), not $nodes: wipe it first, or give another --dir"
  fi
  kafka_ports "$port" "$count"
  for ((node = 1; node <= count; node++)); do
    folder="$kafka_home/node-$node"
    pid_of "$folder" >/dev/null || kafka_start_node "$node"
  done
}

# kafka_train: runs a node once to write down, for Java to map, the classes that it loads; a start then costs a little
# over half, and tests that kill nodes start many. Where it does not work out, starts are only slower.
kafka_train() {
  local scratch archive="$lib.jsa.$$"
  scratch=$(mktemp -d)
  say "preparing kafka for quick starts"
  if ! JOBICO_SERVICES_TRAINING=1 JDK_JAVA_OPTIONS="-XX:ArchiveClassesAtExit=$archive" \
    "$root/scripts/services" start kafka --dir "$scratch" --port 0 >/dev/null 2>&1 9>&-; then
    : >"$archive"
  fi
  "$root/scripts/services" wipe kafka --dir "$scratch" 9>&-
  rm -rf "$scratch"
  [[ -f $archive ]] || : >"$archive"
  mv "$archive" "$lib.jsa"
}

# kafka_plan NODES: prints what the formatted data will hold for good.
kafka_plan() {
  local count=$1 node
  local ports=() ids=()
  for ((node = 1; node <= count; node++)); do
    ports+=("$(free_port)")
    ids+=("$(kafka_uuid)")
  done
  printf 'cluster_id=%s\ncount=%s\ncontroller_ports=(%s)\ndirectory_ids=(%s)\n' \
    "$(kafka_uuid)" "$count" "${ports[*]}" "${ids[*]}"
}

# A Kafka Uuid: 128 bits in URL-safe base 64. The letter in front keeps it from beginning with '-', like an option.
kafka_uuid() {
  local text
  text=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
  printf 'J%s\n' "${text:1}"
}

# kafka_ports PORT NODES: settles broker_ports, and says so in the address file.
kafka_ports() {
  local port=$1 count=$2 node address=
  broker_ports=()
  if [[ -f $kafka_home/address ]]; then
    local known
    IFS=, read -ra known <"$kafka_home/address"
    broker_ports=("${known[@]#*:}")
    if [[ -n $port && $port != 0 && $port != "${broker_ports[0]}" ]]; then
      [[ -z $(kafka_running) ]] || fail "kafka in $dir runs on port ${broker_ports[0]}, not $port: stop it first"
      broker_ports=()
    fi
  fi
  if ((${#broker_ports[@]} == 0)); then
    [[ -n $port ]] || port=$kafka_port_default
    for ((node = 0; node < count; node++)); do
      if ((port == 0)); then broker_ports+=("$(free_port)"); else broker_ports+=("$((port + node))"); fi
    done
  fi
  for port in "${broker_ports[@]}"; do address+=",127.0.0.1:$port"; done
  kafka_address=${address#,}
}

kafka_running() {
  local folder
  while read -r folder; do pid_of "$folder" || true; done < <(node_folders kafka)
}

kafka_start_node() {
  local node=$1
  local folder="$kafka_home/node-$node" broker_port=${broker_ports[node - 1]}
  require_free "$broker_port" "choose another with --port N (0 = any free one)"
  require_free "${controller_ports[node - 1]}" "wipe $kafka_home, which is bound to it"
  mkdir -p "$folder"
  kafka_properties "$node" >"$folder/server.properties"
  local common=("-Dlog4j2.configurationFile=file://$parts/kafka/log4j2.xml" -cp "$lib/*")
  if [[ ! -f $folder/data/meta.properties ]]; then
    "$java" "${common[@]}" kafka.tools.StorageTool format --cluster-id "$cluster_id" --config "$folder/server.properties" \
      --initial-controllers "$(kafka_voters)" >"$folder/format.log" 2>&1 9>&- || {
      tail -n 30 "$folder/format.log" >&2
      fail "could not format $folder/data"
    }
  fi
  # Java passes over an archive of another Java without a word.
  [[ ! -s $lib.jsa ]] || common+=("-XX:SharedArchiveFile=$lib.jsa")
  start_java "$folder" "@$parts/kafka/jvm.options" "${common[@]}" kafka.Kafka "$folder/server.properties"
}

kafka_voters() {
  local node voters=
  for ((node = 1; node <= count; node++)); do
    voters+=",$node@127.0.0.1:${controller_ports[node - 1]}:${directory_ids[node - 1]}"
  done
  printf '%s\n' "${voters#,}"
}

kafka_properties() {
  local node=$1 port quorum='' replication=$count isr=1
  ((count < 3)) || isr=2
  for port in "${controller_ports[@]}"; do quorum+=",127.0.0.1:$port"; done
  local listeners="PLAINTEXT://127.0.0.1:${broker_ports[node - 1]},CONTROLLER://127.0.0.1:${controller_ports[node - 1]}"
  cat "$parts/kafka/server.properties"
  cat <<END

# This node.
node.id=$node
listeners=$listeners
advertised.listeners=$listeners
controller.quorum.bootstrap.servers=${quorum#,}
log.dirs=$kafka_home/node-$node/data
default.replication.factor=$replication
min.insync.replicas=$isr
offsets.topic.replication.factor=$replication
transaction.state.log.replication.factor=$replication
transaction.state.log.min.isr=$isr
share.coordinator.state.topic.replication.factor=$replication
share.coordinator.state.topic.min.isr=$isr
END
}

# kafka_await: waits until every node answers; a broker answers ApiVersions only when the cluster has taken it in.
kafka_await() {
  local node
  for ((node = 1; node <= ${#broker_ports[@]}; node++)); do
    await "$kafka_home/node-$node" "${broker_ports[node - 1]}" "$kafka_seconds_max" kafka_answers
  done
  printf '%s\n' "$kafka_address" >"$kafka_home/address"
}

# ApiVersions, version 0, correlation id 7: the reply repeats the correlation id after its length, then error code 0.
kafka_answers() {
  local reply
  reply=$(reply_to "$1" '\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x07\xff\xff' 10) || return 1
  [[ ${reply:8} == 000000070000 ]]
}
