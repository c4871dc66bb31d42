# Debian in a directory: a bare base by debootstrap that reaches mirrors as this machine does. To be
# sourced, at the top of the repository. Needs root. Nothing here names a mirror: the machine's own
# sources are taken, with the name of its release replaced.

debian_home=/root # inside

debian_here() { (. /etc/os-release && echo "$VERSION_CODENAME"); }
debian_other() { if [ "$(debian_here)" = trixie ]; then echo bookworm; else echo trixie; fi; }

# This machine's sources of Debian itself, for RELEASE. Third parties' are left out: they stand in
# stanzas whose suite is no release of Debian, or that lack the component main.
debian_sources() { # RELEASE DIR
    local here file name
    here=$(debian_here)
    mkdir -p "$2"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$file" ] || continue
        name=$(basename "$file")
        grep -E "^deb[[:space:]].*[[:space:]]$here(-updates|-security)?[[:space:]].*\bmain\b" "$file" |
            sed "s/\b$here\b/$1/" >"$2/$name" || rm -f "$2/$name"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        name=$(basename "$file")
        awk -v RS= -v ORS='\n\n' -v here="$here" '
            $0 ~ "(^|\n)Suites:[^\n]*[ \t]" here "([ \t\n-]|$)" &&
            /(^|\n)Components:[^\n]*[ \t]main/ && !/(^|\n)Enabled:[ \t]*no/' "$file" |
            sed -E "/^Suites:/s/\b$here\b/$1/g; s/(debian-archive-keyring)\.pgp/\1.gpg/" >"$2/$name"
        [ -s "$2/$name" ] || rm -f "$2/$name"
    done
}

# The first mirror in DIR's sources that has RELEASE itself; nothing when there is none.
debian_mirror() { # RELEASE DIR
    {
        cat "$2"/*.sources 2>/dev/null |
            awk -v RS= -v suite="$1" '$0 ~ "(^|\n)Suites:[^\n]*[ \t]" suite "([ \t\n]|$)"' |
            sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p'
        cat "$2"/*.list 2>/dev/null | sed 's/\[[^]]*\]//' | awk -v suite="$1" '$3 == suite {print $2}'
    } | head -n 1
}

# What comes and goes in FOLDER, some GiB, does so in memory where there is plenty. It is mounted over:
# call it in a mount namespace of one's own.
debian_scratch() { # FOLDER
    mkdir -p "$1" || return 1
    [ "$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)" -lt 12 ] ||
        mount -t tmpfs -o size=8g,mode=755 tmpfs "$1"
}

# A folder for what RELEASE fetched before, kept between runs; made with the folders NAME... in it.
debian_cache() { # RELEASE NAME...
    local release=$1 name; shift
    for name in "$@"; do mkdir -p "build/debian/$release/cache/$name"; done
    echo "$PWD/build/debian/$release/cache"
}

# COMMAND while nobody else uses RELEASE's cache: apt gives up where it finds another at work.
debian_alone() { # RELEASE COMMAND...
    local release=$1; shift
    (flock 8 && "$@" 8>&-) 8>"build/debian/$release/cache/lock"
}

# Unpacks a bare RELEASE into ROOT, which is made. The base is kept in build/debian between runs.
debian_unpack() { # RELEASE ROOT
    local kept=$PWD/build/debian/$1 root=$2 mirror
    mkdir -p "$kept"
    (
        flock 9
        rm -rf "$kept/sources"
        debian_sources "$1" "$kept/sources"
        [ -e "$kept/base.tar" ] && exit 0
        mirror=$(debian_mirror "$1" "$kept/sources")
        rm -rf --one-file-system "$kept/root"
        debootstrap --variant=minbase --include=ca-certificates "$1" "$kept/root" \
            ${mirror:+"$mirror"} >"$kept/debootstrap.log" 2>&1 &&
            tar --numeric-owner -C "$kept/root" -cf "$kept/base.part" . &&
            mv "$kept/base.part" "$kept/base.tar"
        code=$?
        rm -rf --one-file-system "$kept/root"
        exit $code
    ) 9>"$kept/lock" || {
        echo "debootstrap of $1: $(tail -n 1 "$kept/debootstrap.log")"
        return 1
    }
    mkdir -p "$root" && tar --numeric-owner -C "$root" -xf "$kept/base.tar" || return 1
    debian_apt "$kept/sources" "$root"
}

# How this machine's apt reaches mirrors: sources, proxies, what it checks. What is thrown away after a
# run need not be synced to the disk, package by package.
debian_apt() { # SOURCES ROOT
    if compgen -G "$1/*" >/dev/null; then
        : >"$2/etc/apt/sources.list"
        cp "$1"/* "$2/etc/apt/sources.list.d/"
        if [ -e "$1/sources.list" ]; then mv "$2/etc/apt/sources.list.d/sources.list" "$2/etc/apt/"; fi
    fi
    {
        apt-config dump | grep -iE '^Acquire::(http|https|ftp|Check|Retries|Force|max)' || true
        echo 'Acquire::Languages "none";'
        echo 'APT::Install-Recommends "false";'
    } >"$2/etc/apt/apt.conf.d/90tests"
    echo force-unsafe-io >"$2/etc/dpkg/dpkg.cfg.d/90tests"
}

# How this machine's other clients reach registries: local CAs, pip's and Maven's settings; prints the
# variables to go with them. Files that variables name are brought along, but for what the CA
# certificates' package makes by itself.
debian_clients() { # ROOT
    local file name names
    mkdir -p "$1/usr/local/share/ca-certificates"
    cp -r /usr/local/share/ca-certificates/. "$1/usr/local/share/ca-certificates/"
    chroot "$1" /usr/sbin/update-ca-certificates >/dev/null 2>&1 || return 1
    if [ -r /etc/pip.conf ]; then cp /etc/pip.conf "$1/etc/"; fi
    for file in .config/pip/pip.conf .m2/settings.xml .mavenrc; do
        if [ -r "$HOME/$file" ]; then install -D -m 600 "$HOME/$file" "$1$debian_home/$file"; fi
    done
    names='(https?|ftp|no|all)_proxy|PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)'
    names+='|(SSL_CERT|REQUESTS_CA|CURL_CA)_[A-Z]+|GIT_SSL_CAINFO|MAVEN_(OPTS|ARGS)|JAVA_TOOL_OPTIONS'
    for name in $(compgen -e | grep -iE "^($names)\$"); do
        if [ -f "${!name}" ] && [ ! -e "$1${!name}" ]; then
            install -D -m 644 "${!name}" "$1${!name}"
        fi
        echo "$name=${!name}"
    done
}
