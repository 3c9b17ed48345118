"""What a node and the cluster are doing, asked with one short command per node.

This is what `up` plans from; the full look of `validate` is labctl.probe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from labctl.engine.base import Engine, Node, State
from labctl.errors import LabError

ASK_TIMEOUT = 15.0
UNITS = ("corosync", "pacemaker", "pcsd")
LATE = frozenset({"pcsd.service", "pcsd-ruby.service", "multi-user.target"})

# Waiting is done in the node, where a look costs a tenth of what it costs to come in; for seconds only, since
# a node whose power was cut must be noticed. Whether it is so is judged by what ASK then says.
WAIT_SECONDS = 5.0
UNTIL = """
read -r now rest </proc/uptime
end=$((${{now%.*}} + {seconds}))
while read -r now rest </proc/uptime && [ "${{now%.*}}" -lt $end ]; do
{look}
  sleep {pause}
done
"""
# One program a look: while four nodes boot, what looks on costs them the processor.
BOOTED = r"""
  if jobs=$(systemctl list-jobs --no-legend --plain 2>/dev/null); then
    early=
    while read -r _ unit _; do
      case $unit in ''|LATE) ;; *) early=$unit; break ;; esac
    done <<JOBS
$jobs
JOBS
    [ -n "$early" ] || case $(systemctl is-system-running) in running|degraded|starting) break ;; esac
  fi
"""
FORMED = r"""
  systemctl -q is-active pacemaker || break
  seen=$(crm_mon --output-as=xml 2>/dev/null)
  printf '%s\n' "$seen" | grep -q 'with_quorum="true"' &&
    ! printf '%s\n' "$seen" | grep '<node ' | grep -qE '(online="false"|pending="true"|unclean="true")' &&
    FENCING && break
"""
# What runs may still be in its first monitor: pending="Monitoring".
FENCING = r"""! printf '%s\n' "$seen" | grep 'agent="stonith:' | grep -qE '(role="Stopped"|pending="[^M])'"""

# One shell for everything: the units' states, what is still being started, corosync.conf, crm_mon's XML.
ASK = """
set -- $(systemctl is-active corosync pacemaker pcsd)
echo units $*
state=$(systemctl is-system-running)
echo "boot $state"
[ "$state $3" = "running active" ] || systemctl list-jobs --no-legend --plain | sed 's/^ *[0-9]* */job /'
if [ -e /etc/corosync/corosync.conf ]; then sed 's/^/conf /' /etc/corosync/corosync.conf; fi
if systemctl -q is-active pacemaker; then echo xml; crm_mon --output-as=xml 2>/dev/null; fi
exit 0
"""


@dataclass(frozen=True)
class ClusterView:
    """The cluster as one node sees it; names are the nodes' host names.

    fencing: device id → state ("Started", "Stopped", …).
    """

    dc: str
    quorate: bool
    online: frozenset[str]
    offline: frozenset[str]
    unclean: frozenset[str]
    fencing: Mapping[str, str]


@dataclass(frozen=True)
class Member:
    """One node's part: its corosync.conf ("" when it has none), its daemons, its view.

    booted: all has started but perhaps pcsd.  pcsd: it runs, or is being started.

    rest: the lines that answer what the caller asked beside (see ask).
    """

    conf: str = ""
    booted: bool = False
    corosync: bool = False
    pacemaker: bool = False
    pcsd: bool = False
    view: ClusterView | None = None
    silent: str = ""
    rest: tuple[str, ...] = ()

    @property
    def cluster_name(self) -> str:
        """The cluster that it is configured for, "" when none."""
        return next((value for key, value in _pairs(self.conf) if key == "cluster_name"), "")

    @property
    def nodelist(self) -> frozenset[str]:
        """Host names in its corosync.conf."""
        return frozenset(value for key, value in _pairs(self.conf) if key == "name")


def ask(node: Node, beside: str = "") -> Member:
    """Ask one node. A node that does not answer gives a Member that says so in `silent`.

    beside: a shell fragment to run along, which prints lines of a first word of its own.
    """
    try:
        return parse(node.run(["sh", "-c", beside + ASK], timeout=ASK_TIMEOUT).stdout)
    except LabError as error:
        return Member(silent=error.message)


def until_booted(pace: float) -> str:
    """For ask(): first wait, for seconds, until the node has booted, pcsd aside."""
    return _until(BOOTED.replace("LATE", "|".join(sorted(LATE))), pace)


def until_formed(pace: float, *, fencing: bool = True) -> str:
    """For ask(): first wait, for seconds, until quorum, every member, and (fencing) every fence device."""
    return _until(FORMED.replace("FENCING", FENCING if fencing else "true"), pace)


def _until(look: str, pace: float) -> str:
    return UNTIL.format(seconds=f"{WAIT_SECONDS * pace:.0f}", look=look, pause=f"{0.2 * pace:.1f}")


def parse(text: str) -> Member:
    """Member from the output of ASK."""
    head, _, xml = text.partition("\nxml\n")
    units: dict[str, str] = {}
    conf: list[str] = []
    others: list[str] = []
    jobs: set[str] = set()
    boot = ""
    for line in head.splitlines():
        word, _, rest = line.partition(" ")
        if word == "units":
            units = dict(zip(UNITS, rest.split(), strict=False))
        elif word == "boot":
            boot = rest
        elif word == "job":
            jobs.add(rest.split()[0])
        elif word == "conf":
            conf.append(rest)
        else:
            others.append(line)
    return Member(
        conf="\n".join(conf) + "\n" if conf else "",
        # pcsd starts after the cluster's daemons, and takes longest; nobody else waits for it.
        booted=boot in ("running", "degraded") or (boot == "starting" and bool(jobs) and jobs <= LATE),
        corosync=units.get("corosync") == "active",
        pacemaker=units.get("pacemaker") == "active",
        # Its start waits for that of pcsd-ruby.
        pcsd=units.get("pcsd") in ("active", "activating") or "pcsd.service" in jobs,
        view=parse_view(xml),
        rest=tuple(others),
    )


def parse_view(xml: str) -> ClusterView | None:
    """crm_mon's XML (crm_mon(8), --output-as=xml); None when the cluster does not answer yet."""
    try:
        root = ET.fromstring(xml.strip())  # noqa: S314 (expat expands no external entities)
    except ET.ParseError:
        return None
    current = root.find("summary/current_dc")
    if current is None:
        return None
    nodes = root.findall("nodes/node")

    def having(attribute: str) -> frozenset[str]:
        return frozenset(node.get("name", "") for node in nodes if node.get(attribute) == "true")

    return ClusterView(
        dc=current.get("name", "") if current.get("present") == "true" else "",
        quorate=current.get("with_quorum") == "true",
        online=having("online") - having("pending"),
        offline=frozenset(node.get("name", "") for node in nodes) - having("online"),
        unclean=having("unclean"),
        fencing={
            resource.get("id", ""): "Started"
            # It runs before its first monitor has ended.
            if resource.get("role") == "Started" and resource.get("pending") in (None, "Monitoring")
            else "Stopped"
            for resource in root.iter("resource")
            if resource.get("resource_agent", "").startswith("stonith:")
            # One that somebody has disabled is as it should be.
            and resource.get("target_role") != "Stopped"
        },
    )


def members_joined(cmap: str) -> frozenset[str]:
    """Addresses of the nodes that are members now, from `corosync-cmapctl runtime.members.`

    Lines look like `runtime.members.2.ip (str) = r(0) ip(192.168.90.120)` and
    `runtime.members.2.status (str) = joined` (cmap_keys(7)).
    """
    addresses: dict[str, list[str]] = {}
    joined: set[str] = set()
    for line in cmap.splitlines():
        key, _, value = line.partition(" = ")
        parts = key.split(" ")[0].split(".")
        if len(parts) == 4 and parts[3] == "ip":
            addresses[parts[2]] = [word[3:-1] for word in value.split() if word.startswith("ip(")]
        elif len(parts) == 4 and parts[3] == "status" and value == "joined":
            joined.add(parts[2])
    return frozenset(address for member in joined for address in addresses.get(member, ()))


def witnesses(engine: Engine, name: str) -> list[Node]:
    """The other nodes that are on: those to ask about a node that is not."""
    return [
        engine.node(machine.name)
        for machine in engine.observe().values()
        if machine.name != name and machine.state is State.ON
    ]


def still_member(witnesses: Iterable[Node], addresses: Iterable[str]) -> bool:
    """Whether a living node still counts the owner of these addresses as a member of its ring.

    The first witness that runs corosync answers for all. A node that comes back before the others
    have noticed its death receives the news of its own fencing and leaves the cluster again;
    real machines take longer to start than corosync to notice, containers do not.
    """
    wanted = frozenset(addresses)
    for node in witnesses:
        try:
            result = node.run(["corosync-cmapctl", "runtime.members."], timeout=5, check=False)
        except LabError:
            continue
        if result.ok:
            return bool(wanted & members_joined(result.stdout))
    return False


def _pairs(conf: str) -> list[tuple[str, str]]:
    pairs = []
    for line in conf.splitlines():
        key, colon, value = line.strip().partition(":")
        if colon:
            pairs.append((key.strip(), value.strip()))
    return pairs
