# Debian's side of images/common/install.
export DEBIAN_FRONTEND=noninteractive

begin() {
    # Nothing may start a daemon inside a build.
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    # A node keeps its manual pages; slim base images leave them out.
    rm -f /etc/dpkg/dpkg.cfg.d/docker
    printf 'force-unsafe-io\n' > /etc/dpkg/dpkg.cfg.d/labctl
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
