# shellcheck shell=bash disable=SC2154
# Fetches a service's jars with Maven, once for all checkouts: part of scripts/services.

# jars_of SERVICE: prints the folder with the jars that SERVICE's pom.xml names, fetching them when they are not cached.
# The folder's name holds the pom's digest, so that another version is another folder.
jars_of() {
  local service=$1 pom="$parts/$1/pom.xml" digest target fresh
  digest=$(sha256sum "$pom")
  target="$cache/$service-${digest:0:12}"
  if [[ ! -d $target ]]; then
    command -v mvn >/dev/null || fail "mvn is missing: run scripts/prerequisites test"
    mkdir -p "$cache"
    fresh=$(mktemp -d "$cache/$service.XXXXXX")
    say "fetching $service with Maven"
    if ! mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$fresh" >"$fresh/mvn.log" 2>&1; then
      tail -n 30 "$fresh/mvn.log" >&2
      rm -rf "$fresh"
      fail "Maven could not fetch $service"
    fi
    rm "$fresh/mvn.log"
    chmod 755 "$fresh"
    # Another checkout may have been quicker; its folder is as good as ours.
    mv -T "$fresh" "$target" 2>/dev/null || rm -rf "$fresh"
  fi
  printf '%s\n' "$target"
}
