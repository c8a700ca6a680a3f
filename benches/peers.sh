#!/bin/sh
# Fetches the metric stores that `load compare` measures against.
#
# Usage: peers.sh DIR [SUITE]
#
# Downloads Debian's packages of Prometheus, Alertmanager and VictoriaMetrics from SUITE (default:
# sid) and unpacks them below DIR, so that DIR/usr/bin/prometheus and so on run where they lie.
# DIR/VERSIONS names what came. Nothing is installed: apt runs with lists, cache, state and settings
# of its own in DIR/.apt and with copies of this machine's Debian sources in which only the suite is
# another.
set -eu

PACKAGES="prometheus prometheus-alertmanager victoria-metrics"

usage() {
    echo "usage: $0 DIR [SUITE]" >&2
    exit 2
}

[ $# -ge 1 ] && [ $# -le 2 ] || usage
suite=${2:-sid}
mkdir -p "$1"
dir=$(cd "$1" && pwd)
root=$dir/.apt
rm -rf "$root"
mkdir -p "$root/sources.d" "$root/lists/partial" "$root/archives/partial" "$root/state"
: >"$root/status"
: >"$root/sources.list"

# Deb822 files: keep the stanzas of the main archive, ask for the other suite in them. A stanza of
# security or update suites alone has no counterpart in an unstable suite and goes.
for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    awk -v suite="$suite" '
        BEGIN { RS = ""; ORS = "\n\n" }
        {
            count = split($0, line, "\n"); text = ""; suites = ""; debian = 0
            for (i = 1; i <= count; i++) {
                if (line[i] ~ /^#/) continue
                if (line[i] ~ /^Suites:/) { suites = line[i]; line[i] = "Suites: " suite }
                if (line[i] ~ /^URIs:.*\/debian\/?([ \t]|$)/) debian = 1
                text = text line[i] "\n"
            }
            if (debian && suites != "") printf "%s\n", text
        }' "$file" >"$root/sources.d/$(basename "$file")"
done

# One-line entries, the same way.
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    sed -n -E 's#^(deb +(\[[^]]*\] +)?[^ ]*/debian/?) +[^ ]+ +(.*)$#\1 '"$suite"' \3#p' "$file" |
        sort -u >>"$root/sources.list"
done

# The machine's own settings (a proxy, say) hold, but not its hooks: they may tidy the system's
# folders. A file of the environment is read before all others, so it can name another folder.
cp -R /etc/apt/apt.conf.d "$root/conf.d"
cat >"$root/conf.d/zz-private" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
cat >"$root/apt.conf" <<END
Dir::Etc::Parts "$root/conf.d";
END
APT_CONFIG=$root/apt.conf
export APT_CONFIG

set -- \
    -o Dir::Etc::SourceList="$root/sources.list" \
    -o Dir::Etc::SourceParts="$root/sources.d" \
    -o Dir::State="$root/state" \
    -o Dir::State::Lists="$root/lists" \
    -o Dir::State::status="$root/status" \
    -o Dir::Cache="$root" \
    -o Dir::Cache::Archives="$root/archives" \
    -o APT::Sandbox::User="$(id -un)" \
    -o Acquire::Languages=none

apt-get -qq "$@" update
# shellcheck disable=SC2086  # one word for each package
(cd "$root/archives" && apt-get -qq "$@" download $PACKAGES)
rm -f "$dir/VERSIONS"
for package in "$root"/archives/*.deb; do
    dpkg -x "$package" "$dir"
    # VictoriaMetrics of Debian does not know its own version.
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$package" >>"$dir/VERSIONS"
done
rm -rf "$root"
cat "$dir/VERSIONS"
