# Debian's side of images/common/install.
export DEBIAN_FRONTEND=noninteractive

begin() {
    # Nothing may start a daemon inside a build.
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    # A node keeps its manual pages; slim base images leave them out.
    rm -f /etc/dpkg/dpkg.cfg.d/docker
    printf 'force-unsafe-io\n' > /etc/dpkg/dpkg.cfg.d/labctl
    # The ids that Red Hat's pacemaker fixes; labctl places files that must belong to them.
    getent group haclient >/dev/null || groupadd --system --gid 189 haclient
    getent passwd hacluster >/dev/null || useradd --system --uid 189 --gid haclient \
        --home-dir /var/lib/pacemaker --no-create-home --shell /usr/sbin/nologin hacluster
    apt-get update -q
}

install_packages() {
    apt-get install -q -y --no-install-recommends "$@"
}

tidy() {
    apt-get clean
    rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /etc/dpkg/dpkg.cfg.d/labctl
}

list_packages() {
    dpkg-query -W -f '${Package} ${Version}\n'
}
