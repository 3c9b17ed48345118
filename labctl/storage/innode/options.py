"""iscsiadm's command line (usr/iscsiadm.c of open-iscsi): words in, one Options out."""

from __future__ import annotations

import getopt
import re
from typing import NamedTuple

from . import records

INVALID = 7
_SHORT = "RlDVhm:a:b:c:C:p:P:T:H:i:I:U:k:L:d:r:n:v:o:sSt:ux:A:W"
_LONG = {
    "mode=": "m", "portal=": "p", "targetname=": "T", "interface=": "I", "op=": "o", "type=": "t",
    "name=": "n", "value=": "v", "host=": "H", "sid=": "r", "rescan": "R", "print=": "P", "discover": "D",
    "login": "l", "loginall=": "L", "logout": "u", "logoutall=": "U", "stats": "s", "killiscsid=": "k",
    "debug=": "d", "show": "S", "version": "V", "help": "h", "submode=": "C", "ip=": "a", "packetsize=": "b",
    "count=": "c", "interval=": "i", "index=": "x", "portal_type=": "A", "no_wait": "W",
}  # fmt: skip
_ALLOWED = {
    "discovery": "DSIPdmntplovW", "discoverydb": "DSIPdmntplovW", "node": "RsPIdmlSonvupTULW",
    "session": "PiRdrmusonvS", "host": "CHdmPotnvxA", "iface": "HIdnvmPoCabci", "fw": "dmlWnv",
}  # fmt: skip
_OPERATIONS = ("new", "delete", "update", "show", "nonpersistent", "apply", "applyall", "login", "logout")

USAGE = """\
iscsiadm -m discoverydb [-hV] [-d debug_level] [-P printlevel] [-t type -p ip:port -I ifaceN ... [-Dl]] | \
[[-p ip:port -t type] [-o operation] [-n name] [-v value] [-lD]] 
iscsiadm -m discovery [-hV] [-d debug_level] [-P printlevel] [-t type -p ip:port -I ifaceN ... [-l]] | \
[[-p ip:port] [-l | -D]] [-W]
iscsiadm -m node [-hV] [-d debug_level] [-P printlevel] [-L all,manual,automatic,onboot] [-W] \
[-U all,manual,automatic,onboot] [-S] [[-T targetname -p ip:port -I ifaceN] [-l | -u | -R | -s]] \
[[-o operation ] [-n name] [-v value]]
iscsiadm -m session [-hV] [-d debug_level] [-P printlevel] [-r sessionid | sysfsdir [-R | -u | -s] \
[-o operation] [-n name] [-v value]]
iscsiadm -m iface [-hV] [-d debug_level] [-P printlevel] [-I ifacename | -H hostno|MAC] \
[[-o operation ] [-n name] [-v value]] [-C ping [-a ip] [-b packetsize] [-c count] [-i interval]]
iscsiadm -m fw [-d debug_level] [-l] [-W] [[-n name] [-v value]]
iscsiadm -m host [-P printlevel] [-H hostno|MAC] [[-C chap [-x chap_tbl_idx]] | \
[-C flashnode [-A portal_type] [-x flashnode_idx]] | [-C stats]] [[-o operation] [-n name] [-v value]] 
iscsiadm -k priority
"""  # noqa: W291  the original's own text


class Wrong(Exception):
    """The command ends here. code: the exit code; lines: for stderr; hint: name --help, too."""

    def __init__(self, *lines: str, code: int = INVALID, hint: bool = False) -> None:
        super().__init__(*lines)
        self.lines, self.code, self.hint = lines, code, hint


class Options(NamedTuple):
    """What was asked. port and tpgt are -1, level -1 and sid -1 where they were not given."""

    mode: str
    flags: frozenset[str]  # l, u, R, s, S, D, W, V, h
    operations: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    target: str = ""
    address: str = ""
    port: int = -1
    tpgt: int = -1
    ifaces: tuple[str, ...] = ()
    type: str = ""
    level: int = -1
    sid: int = -1
    login_all: str | None = None
    logout_all: str | None = None
    submode: str = ""
    kill: str | None = None


def parse(words: list[str]) -> Options:
    """Raises Wrong, in the original's words."""
    try:
        given, _ = getopt.gnu_getopt(words, _SHORT, list(_LONG))
    except getopt.GetoptError as error:
        raise _not_understood(error) from None
    pairs = [(_letter(name), value) for name, value in given]
    letters = {letter for letter, _ in pairs}
    last = dict(pairs)
    if letters & {"h", "V"}:
        return Options("", frozenset(letters))
    if "m" in last and last["m"] not in _ALLOWED:
        raise Wrong("mode -1 is not yet supported")
    for letter, _ in pairs:
        if "m" in last and letter not in _ALLOWED[last["m"]]:
            raise Wrong(f"{last['m']} mode: option '-{letter}' is not allowed/supported")
    operations = tuple(value for letter, value in pairs if letter == "o")
    for operation in operations:
        if operation not in _OPERATIONS:
            raise Wrong(f"can not recognize operation: '{operation}'")
    address, port, tpgt = _portal(last["p"]) if "p" in last else ("", -1, -1)
    return Options(
        mode=last.get("m", ""),
        flags=frozenset(letters & set("luRsSDW")),
        operations=operations,
        params=_params(pairs),
        target=last.get("T", ""),
        address=address,
        port=port,
        tpgt=tpgt,
        ifaces=tuple(value for letter, value in pairs if letter == "I"),
        type={"st": "sendtargets"}.get(last.get("t", ""), last.get("t", "")),
        level=int(last["P"]) if last.get("P", "").isdigit() else -1,
        sid=_sid(last["r"]) if "r" in last else -1,
        login_all=last.get("L"),
        logout_all=last.get("U"),
        submode=last.get("C", ""),
        kill=last.get("k"),
    )


def _letter(name: str) -> str:
    return name[1] if not name.startswith("--") else _LONG.get(name[2:], _LONG.get(f"{name[2:]}=", ""))


def _params(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """-n NAME -v VALUE, as often as given, in either order."""
    found, name, value = [], None, None
    for letter, word in pairs:
        if letter == "n":
            name = word
        elif letter == "v":
            value = word
        if name is not None and value is not None:
            found.append((name, value))
            name = value = None
    return tuple(found)


def _portal(text: str) -> tuple[str, int, int]:
    try:
        return records.split_portal(text)
    except ValueError:
        raise Wrong(f"Invalid portal {text}. It is ADDR[:PORT][,TPGT].") from None


def _sid(text: str) -> int:
    """A number, or a path of sysfs that ends in sessionN."""
    match = re.fullmatch(r"(?:.*/session)?(\d+)/?", text)
    if not match:
        raise Wrong(f"{text} is an invalid session ID or path", code=1)
    return int(match[1])


def _not_understood(error: getopt.GetoptError) -> Wrong:
    name = error.opt
    dashes = f"-- '{name}'" if len(name) == 1 else f"'--{name}'"
    if "requires" in error.msg and "not" not in error.msg.split("requires")[0]:
        if len(name) == 1:
            return Wrong(f"option requires an argument {dashes}", f"unrecognized character '{name}'")
        return Wrong(f"option {dashes} requires an argument", hint=True)
    if len(name) == 1:
        return Wrong(f"invalid option {dashes}", f"unrecognized character '{name}'")
    if "unique" in error.msg:
        return Wrong(f"option {dashes} is ambiguous", hint=True)
    return Wrong(f"unrecognized option {dashes}", hint=True)
