#!/bin/bash
# Installs what Deskfold needs beside Rust: PostgreSQL's server programs, nats-server and a C compiler; with the argument
# `tests` also what only its tests need: NATS' client, a generator of clients, pandas, SQLAlchemy, Apache Arrow and a verifier of webhooks for Python in target/python,
# a server that speaks S3 in target/s3, Prometheus' promtool in target/tools, a generator of types for TypeScript, axe-core and a verifier of webhooks in target/node, an OpenID provider in target/oidc, for
# which it installs Node and npm, Chromium with its driver, and Postfix and Dovecot.
# With the argument `superset` it installs Apache Superset alone, in target/superset.
# Silent when everything is there. It starts no service, makes no PostgreSQL cluster and touches none that exists.
set -euo pipefail

oldest_postgresql=15
nats_client=nats-py==2.16.0
python_generator=openapi-python-client==0.29.1
python_tables=pandas==3.1.1
python_parquet=pyarrow==26.0.1
python_databases=(sqlalchemy==2.1.9 'psycopg[binary]==3.3.9')
python_verifier=standardwebhooks==1.1.0
# Of what Superset needs but does not say, or says too loosely, what works with it.
bi_server=(apache-superset==6.1.0 psycopg2-binary==2.9.13 flask-caching==2.3.1 rich cachetools)
s3_server='moto[s3,server]==5.2.5'
node_packages=(openapi-typescript@7.13.0 axe-core@4.14.1 standardwebhooks@1.1.1)
target=$(cd "$(dirname "$0")/.." && pwd)/target
python_libraries=$target/python
s3_libraries=$target/s3
tools=$target/tools
node_libraries=$target/node
provider_source=$(cd "$(dirname "$0")/.." && pwd)/tests/oidc
provider=$target/oidc

has_postgresql() {
    local postgres version
    for postgres in ${PG_BIN:+"$PG_BIN/postgres"} "$(command -v postgres || true)" /usr/lib/postgresql/*/bin/postgres \
        /usr/pgsql-*/bin/postgres /usr/libexec/postgresql*/postgres /usr/local/pgsql/bin/postgres \
        /opt/homebrew/opt/postgresql*/bin/postgres /usr/local/opt/postgresql*/bin/postgres; do
        [ -x "$postgres" ] || continue
        version=$("$postgres" --version | grep -oE '[0-9]+' | head -n 1)
        [ "${version:-0}" -lt "$oldest_postgresql" ] || return 0
    done
    return 1
}

has_nats() {
    [ -x "${NATS_SERVER_BIN:-}" ] || command -v nats-server >/dev/null || [ -x /usr/sbin/nats-server ]
}

has_c_compiler() {
    command -v cc >/dev/null && printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null
}

has_python_library() {
    PYTHONPATH=$python_libraries python3 -c "import $1" 2>/dev/null
}

has_promtool() {
    command -v promtool >/dev/null || [ -x "$tools/promtool" ]
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Out of its package, of which nothing is installed: no server, no service. Without it tests are skipped, and say so.
install_promtool() {
    local directory
    directory=$(mktemp -d)
    if (
        cd "$directory" &&
            { apt-get download -qq prometheus || { as_root apt-get update -qq && apt-get download -qq prometheus; }; } &&
            dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract --to-stdout ./usr/bin/promtool >promtool &&
            chmod 755 promtool
    ) </dev/null >/dev/null 2>&1; then
        mkdir -p "$tools"
        mv "$directory/promtool" "$tools/promtool"
    else
        echo "promtool cannot be had: the alerts' own tests are skipped." >&2
    fi
    rm -rf "$directory"
}

# Without one of these a test is skipped, and says so: no reason to stop.
install_python_libraries() {
    local pip=(python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --root-user-action ignore \
        --target "$python_libraries")
    mkdir -p "$python_libraries"
    if ! has_python_library nats; then
        "${pip[@]}" --no-deps "$nats_client" </dev/null ||
            echo "NATS' client for Python ($nats_client) cannot be installed: the test of docs/events-contract.md is skipped." >&2
    fi
    if ! has_python_library openapi_python_client; then
        "${pip[@]}" "$python_generator" </dev/null ||
            echo "$python_generator cannot be installed: the test of generated Python clients is skipped." >&2
    fi
    if ! has_python_library pandas; then
        "${pip[@]}" "$python_tables" </dev/null ||
            echo "$python_tables cannot be installed: the test that counts a help desk's history again is skipped." >&2
    fi
    if ! has_python_library pyarrow; then
        "${pip[@]}" "$python_parquet" </dev/null ||
            echo "$python_parquet cannot be installed: the test that reads Parquet files is skipped." >&2
    fi
    if ! has_python_library standardwebhooks; then
        "${pip[@]}" --no-deps "$python_verifier" </dev/null ||
            echo "$python_verifier cannot be installed: no webhook is verified in Python." >&2
    fi
    if ! has_python_library psycopg; then
        "${pip[@]}" "${python_databases[@]}" </dev/null ||
            echo "${python_databases[*]} cannot be installed: the test of what analysts do with SQLAlchemy is skipped." >&2
    fi
}

# A server that speaks S3, for the test of files in a bucket; apart, since it needs other releases of much.
install_s3_server() {
    [ -d "$s3_libraries/moto" ] ||
        python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --root-user-action ignore \
            --target "$s3_libraries" "$s3_server" </dev/null >/dev/null 2>&1 ||
        echo "$s3_server cannot be installed: the test of files in a bucket is skipped." >&2
}

has_node() {
    command -v node >/dev/null && command -v npm >/dev/null
}

# As it is in tests/oidc: whenever that changed it is installed anew.
has_provider() {
    [ -d "$provider/node_modules/oidc-provider" ] && cmp -s "$provider_source/package-lock.json" "$provider/package-lock.json"
}

# The test that signs people in by it fails without.
install_provider() {
    mkdir -p "$provider"
    cp "$provider_source/package.json" "$provider_source/package-lock.json" "$provider/"
    npm ci --prefix "$provider" --no-audit --no-fund --loglevel=error </dev/null >/dev/null
}

has_browser() {
    command -v chromedriver >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null
}

# Without it the tests that need one are skipped, and say so: a page is tested over HTTP all the same.
install_browser() {
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 chromium chromium-driver)
    echo "Installing chromium chromium-driver" >&2
    as_root "${install[@]}" </dev/null >/dev/null 2>&1 ||
        { as_root apt-get update -qq </dev/null && as_root "${install[@]}" </dev/null >/dev/null; } ||
        echo "Chromium with chromedriver cannot be had: the tests of pages in a browser are skipped." >&2
}

has_post_office() {
    [ -x /usr/sbin/postfix ] && [ -x /usr/sbin/dovecot ]
}

# Mail servers; the test that needs them runs its own, and is skipped without them. That none is started at once the policy says
# that Debian's packages ask for.
install_post_office() {
    local policy=/usr/sbin/policy-rc.d made=false
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 postfix dovecot-imapd dovecot-lmtpd)
    echo "Installing postfix dovecot" >&2
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy" && made=true
    fi
    echo 'postfix postfix/main_mailer_type select No configuration' | as_root debconf-set-selections 2>/dev/null || true
    as_root "${install[@]}" </dev/null >/dev/null 2>&1 ||
        { as_root apt-get update -qq </dev/null && as_root "${install[@]}" </dev/null >/dev/null 2>&1; } ||
        echo "Postfix and Dovecot cannot be had: the test of mail with real servers is skipped." >&2
    if $made; then
        as_root rm -f "$policy"
    fi
}

has_node_packages() {
    [ -d "$node_libraries/node_modules/openapi-typescript" ] && [ -d "$node_libraries/node_modules/axe-core" ] &&
        [ -d "$node_libraries/node_modules/standardwebhooks" ]
}

# The tests of pages fail without.
install_node_packages() {
    mkdir -p "$node_libraries"
    npm install --prefix "$node_libraries" --no-save --no-audit --no-fund --loglevel=error \
        "${node_packages[@]}" </dev/null >/dev/null
}

# Apache Superset in target/superset, for the one test that draws a chart with it.
install_bi_server() {
    [ -x "$target/superset/bin/superset" ] && return
    python3 -m venv "$target/superset" </dev/null
    "$target/superset/bin/python" -m pip install --quiet --disable-pip-version-check "${bi_server[@]}" </dev/null
}

if [ "${1:-}" = superset ]; then
    install_bi_server
    exit 0
fi

wants_python_libraries=false
if [ "${1:-}" = tests ] &&
    ! { has_python_library nats && has_python_library openapi_python_client && has_python_library pandas && has_python_library pyarrow && has_python_library psycopg && has_python_library standardwebhooks; }; then
    wants_python_libraries=true
fi
install_node_libraries() {
    has_node_packages || install_node_packages
    has_provider || install_provider
}

wants_node_libraries=false
if [ "${1:-}" = tests ]; then
    wants_node_libraries=true
fi
if [ "${1:-}" = tests ] && ! has_promtool && command -v apt-get >/dev/null; then
    install_promtool
fi

if [ "${1:-}" = tests ] && ! has_browser && command -v apt-get >/dev/null; then
    install_browser
fi

if [ "${1:-}" = tests ] && ! has_post_office && command -v apt-get >/dev/null; then
    install_post_office
fi

missing=()
has_postgresql || missing+=(postgresql)
has_nats || missing+=(nats-server)
has_c_compiler || missing+=(gcc libc6-dev)
if $wants_python_libraries && ! python3 -m pip --version >/dev/null 2>&1 && command -v apt-get >/dev/null; then
    missing+=(python3-pip)
fi
if $wants_node_libraries && ! has_node; then
    missing+=(nodejs npm)
fi
if [ ${#missing[@]} -eq 0 ]; then
    ! $wants_python_libraries || install_python_libraries
    [ "${1:-}" != tests ] || install_s3_server
    ! $wants_node_libraries || install_node_libraries
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    cat >&2 <<MESSAGE
Missing: ${missing[*]}.
This script installs them on Debian and its relatives only. With your own package manager, please install
  - PostgreSQL $oldest_postgresql or newer, the server (set PG_BIN to the directory of initdb and postgres if they are not found),
  - nats-server with JetStream (https://nats.io/download/),
  - a C compiler,
  - for the tests, Node 20 or newer with npm, and Chromium with chromedriver,
and run this again.
MESSAGE
    exit 1
fi

if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    echo "Missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}" >&2
    exit 1
fi

# Debian makes and starts a cluster with every new PostgreSQL unless told not to. Whoever has an opinion keeps it.
settings=/etc/postgresql-common
if [[ " ${missing[*]} " == *" postgresql "* ]] &&
    ! grep -rqsE '^[[:space:]]*create_main_cluster' "$settings/createcluster.conf" "$settings/createcluster.d"; then
    as_root mkdir -p "$settings/createcluster.d"
    echo "create_main_cluster = false" | as_root tee "$settings/createcluster.d/deskfold.conf" >/dev/null
fi

# Debian starts every newly installed server. Ours are to be run by Deskfold, so for now we answer that none may start.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
fi

echo "Installing ${missing[*]}" >&2
as_root apt-get update -qq </dev/null
as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" </dev/null >/dev/null
if [[ " ${missing[*]} " == *" nats-server "* ]] && command -v systemctl >/dev/null; then
    as_root systemctl disable --quiet nats-server
fi

if ! has_postgresql; then
    echo "The PostgreSQL of this release is older than $oldest_postgresql: see https://wiki.postgresql.org/wiki/Apt for a newer one." >&2
    exit 1
fi
! $wants_python_libraries || install_python_libraries
[ "${1:-}" != tests ] || install_s3_server
! $wants_node_libraries || install_node_libraries
