#!/usr/bin/env bash
# A container engine, and the images of the container tests, also on a machine that can pull no image.
#
#   engine.sh start     uses the engine that answers, else starts a private one; prints its address
#   engine.sh images    builds the worker image on that engine; prints WORKER=<image> and REDIS=<image>
#   engine.sh stop      stops the private engine; one that was there before is left alone
#   engine.sh clean     the same, and removes all it kept for the next time
#
# All it keeps is in $JOBKIT_ENGINE_DIR (default ~/.cache/jobkit-engine). A private engine needs root, and
# the packages docker.io, iptables and debootstrap of Debian or Ubuntu. Exit code 77: this machine cannot do it.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
state=${JOBKIT_ENGINE_DIR:-$HOME/.cache/jobkit-engine}
private=unix://$state/docker.sock
worker=jobkit-worker:test
offline=jobkit-base:offline

say() { echo "engine.sh: $*" >&2; }
die() { say "$@"; exit 77; }

need() { # need COMMAND PACKAGE...
    command -v "$1" >/dev/null || die "there is no $1 here; on Debian or Ubuntu: apt-get install ${*:2}"
}

answers() { DOCKER_HOST=$1 docker info >/dev/null 2>&1; }

find_engine() { # exports DOCKER_HOST when an engine answers
    local address
    for address in "$private" "${DOCKER_HOST:-unix:///var/run/docker.sock}"; do
        if answers "$address"; then export DOCKER_HOST=$address; return; fi
    done
    return 1
}

start() {
    need docker docker.io
    if find_engine; then return; fi
    need dockerd docker.io iptables
    [ "$(id -u)" = 0 ] || die "no engine answers, and only root can start one"
    setsid dockerd --host "$private" --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/pid" \
        >"$state/log" 2>&1 </dev/null &
    for _ in $(seq 120); do
        if find_engine; then return; fi
        kill -0 $! 2>/dev/null || break
        sleep 0.25
    done
    grep -iE 'error|fail' "$state/log" | tail -n 5 >&2
    die "dockerd did not start; its log is $state/log"
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

make_offline_base() { # this machine's own release of Debian or Ubuntu, with a Python and a Redis server
    if has_image "$offline"; then return; fi
    [ "$(id -u)" = 0 ] || die "no image can be pulled, and only root can make one"
    need debootstrap debootstrap
    say "no image can be pulled: making $offline (about a minute, once)"
    local root
    root=$(mktemp -d "$state/root.XXXXXX")
    trap "rm -rf --one-file-system '$root'" EXIT
    debootstrap --variant=minbase --include=python3-venv,redis-server,ca-certificates \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" >"$state/debootstrap.log" 2>&1 ||
        { tail -n 5 "$state/debootstrap.log" >&2; die "debootstrap failed"; }
    install -d -o 999 -g 1000 "$root/data" # as in the published Redis images
    # pip inside the build shall trust what pip outside it trusts
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    tar -C "$root" --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/doc/*' \
        --exclude='./usr/share/locale/*' -c . |
        docker import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - "$offline" >/dev/null
}

choose_bases() { # sets base and redis: the published images, or the stand-in for both
    local image
    base=$(sed -n 's/^ARG BASE=//p' "$project/workers/Dockerfile")
    redis=$(sed -n 's/^ *image: ${REDIS_IMAGE:-\(.*\)}$/\1/p' "$project/docker-compose.yml")
    for image in "$base" "$redis"; do
        if has_image "$image" || docker pull -q "$image" >"$state/pull.log" 2>&1; then continue; fi
        make_offline_base
        base=$offline redis=$offline
        return
    done
}

images() {
    local passed=() name
    find_engine || die "no engine answers: engine.sh start"
    choose_bases
    for name in {HTTP,HTTPS,NO}_PROXY {http,https,no}_proxy PIP_{EXTRA_,}INDEX_URL; do passed+=(--build-arg "$name"); done
    docker build --network host --build-arg BASE="$base" "${passed[@]}" --tag "$worker" \
        --file "$project/workers/Dockerfile" "$project" >"$state/build.log" 2>&1 ||
        { tail -n 20 "$state/build.log" >&2; say "the worker image could not be built"; exit 1; }
    echo "WORKER=$worker"
    echo "REDIS=$redis"
}

stop() {
    local pid
    if ! pid=$(cat "$state/pid" 2>/dev/null) || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != dockerd ]; then return; fi
    kill "$pid"
    for _ in $(seq 120); do
        if ! kill -0 "$pid" 2>/dev/null; then
            umount "$state/exec/netns/default" 2>/dev/null || true # dockerd leaves it mounted
            return
        fi
        sleep 0.25
    done
    die "dockerd (pid $pid) did not stop"
}

mkdir -p -m 700 "$state"
case ${1:-} in
start) start && echo "$DOCKER_HOST" ;;
images) images ;;
stop) stop ;;
clean)
    if find_engine; then docker image rm --force "$worker" "$offline" >/dev/null 2>&1 || true; fi
    stop && rm -rf "$state"
    ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
