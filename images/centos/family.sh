# CentOS Stream 9's side of images/common/install.

begin() {
    # A node keeps its manual pages; the container base leaves documentation out.
    sed -i '/^tsflags=nodocs/d' /etc/dnf/dnf.conf
    [ ! -e /usr/lib/labctl/repositories ] || return 0
    dnf install -q -y dnf-plugins-core
    dnf config-manager --set-enabled baseos appstream crb highavailability resilientstorage
    # Only for the optional packages: a mirror without EPEL or ELRepo does not stop the build.
    dnf install -q -y epel-release || echo 'labctl: EPEL is not available'
    dnf install -q -y elrepo-release || echo 'labctl: ELRepo is not available'
    : > /usr/lib/labctl/repositories
}

install_packages() {
    dnf install -y --setopt=install_weak_deps=False "$@"
}

tidy() {
    dnf clean all
    rm -rf /var/cache/dnf
}

list_packages() {
    rpm -qa --qf '%{NAME} %{EVR}\n'
}
