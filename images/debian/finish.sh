# Debian's side of images/common/finish.
# Debian's default site answers on port 80 as soon as Apache starts; that is what the course wants.

# Every service has a unit. With its init script there, `systemctl enable` of corosync reloads systemd three times
# on every node, runs Perl for it, and says so; Red Hat's family has no such scripts. update-rc.d(8).
for script in /etc/init.d/*; do
    name=${script##*/}
    [ ! -e "/lib/systemd/system/$name.service" ] || rm -f "$script" /etc/rc?.d/???"$name"
done
