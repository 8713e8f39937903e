#!/bin/sh
# Makes the secrets of docker-compose.yml.
#
#     sh deploy/secrets.sh         once, before the first start; what is there stays as it is
#     sh deploy/secrets.sh eu      the credentials of region eu, anew, from the running pusher
#
# They are files, never environment variables: those show in `docker inspect`, and every child process inherits them.
# Each file may be read by everybody, since a container's user is not you; the folder around them may be entered by you
# alone, and the Docker engine hands the files on one by one.
set -eu
umask 022
folder=${SECRETS_FOLDER:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"

random() { # 256 bits in letters that a URL takes as they are
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}
sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1
}
keep() { # keep NAME TEXT: whole or not at all
    printf '%s' "$2" >"$folder/.$1"
    mv "$folder/.$1" "$folder/$1"
    echo "made $folder/$1"
}

servers() {
    # The files of a password belong together: the one that is written last says that all are there.
    if [ ! -e "$folder/betterstack_database_url" ]; then
        password=$(random)
        keep postgres_password "$password"
        keep betterstack_database_url "postgresql://betterstack:$password@postgres:5432/betterstack"
    fi
    if [ ! -e "$folder/betterstack_redis_url" ]; then
        password=$(random)
        # Valkey is told the hash only. The second user is the health check's: it may ask whether Valkey answers.
        keep valkey_users.conf "user default on #$(printf '%s' "$password" | sha256) ~* &* +@all
user health on nopass resetkeys resetchannels -@all +ping
"
        keep betterstack_redis_url "redis://:$password@valkey:6379/0"
    fi
    if [ ! -e "$folder/betterstack_secret_key" ]; then
        keep betterstack_secret_key "$(random)"
    fi
}

region() {
    # Valkey is without TLS here, on a network of these containers only: that is what --insecure agrees to.
    found=$(docker compose exec -T pusher betterstack region join-command "$1" --insecure --json)
    keep "prober_$1_redis_url" "$(printf '%s\n' "$found" | value BETTERSTACK_REDIS_URL)"
    keep "prober_$1_region_key" "$(printf '%s\n' "$found" | value BETTERSTACK_REGION_KEY)"
}
value() { # value NAME: of a JSON object with a line for each
    sed -n "s/^.*\"$1\": \"\(.*\)\".*$/\1/p"
}

if [ $# -eq 0 ]; then servers; else region "$1"; fi
