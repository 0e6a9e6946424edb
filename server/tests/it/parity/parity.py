"""Python carbon-cache beside Benzene, fed the same by one of Python's carbon-relays.

Starts carbon-cache and carbon-relay, with Benzene's own files of configuration; Benzene runs already.
Sends mixed traffic through the relay, which gives every point to both, and what a relay would not pass
on to both directly. Then every Whisper file must hold the same (timestamp, value) pairs in every
archive, below the same header, and both daemons' own metrics must say the same.
What differs is sent last, and must differ as docs/operating/differences.md says: `differ` prints the
entry, and the test looks for it on that page.
Waits for conditions; ends what it started; fails with what it saw last.

usage: parity.py BENZENE_ROOT LINE_PORT PICKLE_PORT SECONDS [CONF_LINE...]
"""

import glob
import os
import random
import socket
import struct
import sys
import time

from twin import cache, connect, contents, files, free_port, scratch, send, start, wait

BENZENE, LINE, PICKLE, SECONDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
CONF = "\n".join(sys.argv[5:])
REPORTED = ["metricsReceived", "committedPoints", "creates", "errors"]
LISTED = ["blacklistMatches", "whitelistRejects"]


class Both:
    """The two data directories."""

    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs

    def difference(self):
        """The first thing that is not the same; None: nothing."""
        ours, theirs = files(self.ours), files(self.theirs)
        if ours != theirs:
            return "files", sorted(ours - theirs)[:5], sorted(theirs - ours)[:5]
        for path in sorted(ours):
            wrong = self.difference_of(path)
            if wrong:
                return wrong
        return None

    def difference_of(self, path):
        (mine, our), (header, their) = (contents(root + "/" + path) for root in (self.ours, self.theirs))
        if mine != header:
            return path, "header", mine, header
        for index, (one, other) in enumerate(zip(our, their)):
            if one != other:
                text = lambda slots: [struct.unpack(">Ld", slot) for slot in sorted(slots)][:5]
                return path, index, "ours only", text(one - other), "theirs only", text(other - one)
        return None

    def points(self):
        return sum(len(a) for path in files(self.ours) for a in contents(self.ours + "/" + path)[1])


def counted(root):
    """What a daemon's own metrics say, summed over its reports, without its own points and files."""
    (own,) = glob.glob(root + "/carbon/agents/*") or [None]
    if own is None:
        return None
    points = {}
    for path in glob.glob(own + "/**/*.wsp", recursive=True):
        (slots,) = contents(path)[1]
        points[os.path.relpath(path, own)[:-4]] = dict(struct.unpack(">Ld", slot) for slot in slots)
    times = sorted(points.get("committedPoints", {}))
    if len(times) < 2:
        return None
    # The points of the last report are in no earlier count, and neither are files made for them.
    last = times[-1] - 1
    before = [sum(t < last for t in series) for series in points.values()]
    sums = {name: sum(points.get(name, {}).values()) for name in REPORTED + LISTED}
    sums["committedPoints"] -= sum(before)
    sums["creates"] -= sum(1 for count in before if count)
    return {name: int(value) for name, value in sums.items()}


def own_sum(root, name):
    (path,) = glob.glob(root + "/carbon/agents/*/" + name + ".wsp") or [None]
    return path and sum(struct.unpack(">Ld", slot)[1] for slot in contents(path)[1][0])


NAMES = (
    ["plain.host%d.cpu" % n for n in range(12)]
    + ["plain.host%d.requests_sum" % n for n in range(8)]
    + ["plain.host%d.peak_max" % n for n in range(8)]
    + ["plain.host%d.floor_min" % n for n in range(8)]
    + ["plain.host%d.state_last" % n for n in range(8)]
    + ["\u6771\u4eac.\u6e29\u5ea6%d" % n for n in range(2)]
    + ["single.gauge%d" % n for n in range(4)]
    + ["~tilde.first", ".leading.dot", "double..dot"]
    + ["disk.used;rack=r%d;datacenter=dc1;bay=7" % n for n in range(10)]
    + ["disk.used;datacenter=dc2;bay=7;rack=r%d;name=other" % n for n in range(3)]
    + ['http_requests{verb="get",code="%d"}' % code for code in (200, 301, 404, 500)]
)
# Garbage that costs no connection, among it what float() reads.
GARBAGE = ["garbage", "", "two fields", "has four fields 1", "direct.a x 1500000000", "direct.b 0x10 %d",
           "direct.nan nan %d", "direct.under 1_000 %d", "direct.exp +1e3 %d", "direct.tab\t7\t%d\r"]


def traffic(draw, now, shift):
    """Lines of points that lie within `shift` before now, no two of one metric in a slot of ten
    seconds, each metric's in order; then the late ones, the future ones, and a backfill."""
    lines, late = [], []
    begin = (now - shift) // 60 * 60
    for t in range(begin, begin + shift - 600, 60):
        for name in NAMES:
            for back in (0, 10, 30):
                if draw.random() < 0.3:
                    line = "%s %r %d" % (name, round(draw.uniform(-1e3, 1e3), 4), t + back)
                    (late if draw.random() < 0.1 else lines).append(line)
    draw.shuffle(late)
    future = ["%s %d %d" % (name, draw.randrange(99), now // 10 * 10 + 10 * draw.randrange(6, 300))
              for name in NAMES]
    return lines + late + future


def backfill(now):
    """Points older than the first archive, one a minute, in order."""
    begin = now // 600 * 600
    return ["%s %d %d" % (name, age % 1000, begin - age)
            for name in NAMES[::3] for age in range(20 * 3600, 8 * 3600, -300)]


def duplicates(draw, lines):
    """Some of these seconds again, with other values."""
    return ["%s %d %s" % (line.rsplit(" ", 2)[0], draw.randrange(10**6), line.rsplit(" ", 1)[1])
            for line in draw.sample(lines, len(lines) // 20)]


def agree(both, received, least, most, lists):
    """Waits until the files are the same and both count the same; `least` to `most` are committed."""
    wait("the files", both.difference)
    seen = {}

    def look():
        for root in (both.ours, both.theirs):
            counts = seen[root] = counted(root)
            if counts is None:
                return "no report yet", root
            if (counts["metricsReceived"], counts["errors"]) != (received, 0):
                return "received or errors", root, counts, received
            if not least <= counts["committedPoints"] <= most:
                return "committed", root, counts, (least, most)
            if counts["creates"] != len(files(root)):
                return "creates", root, counts, len(files(root))
            if [counts[name] for name in LISTED] != lists:
                return "lists", root, counts, lists
        return None

    wait("the counters", look)
    return seen[both.ours]


def differ(entry):
    print("differs:", entry)


def check_differences(both, port):
    """What is on the list: sent directly to both, it ends as the list says."""
    now = int(time.time()) // 10 * 10
    cases = {
        "A connection survives what Python closes it for": [
            ("utf8", b"differ.utf8 1 %d\n\xff\xfe 1 %d\ndiffer.utf8.after 1 %d\n" % (now, now, now)),
            ("long", b"x" * 17000 + b" 1 1\ndiffer.long.after 1 %d\n" % now),
            ("inf", b"differ.inf 1 inf\ndiffer.inf.after 1 %d\n" % now),
        ],
        "Names with control characters are refused": [
            ("control", b"differ.con\x01trol 1 %d\n" % now),
            ("tagged", b"_tagged.differ 1 %d\n" % now),
        ],
        "Timestamps outside 0 to 4294967295": [
            ("range", b"differ.below 1 -5\n" + b"differ.above 1 4294967296\n"),
        ],
        "those with a dot at the end into a hidden one": [
            ("dot", b"differ.dot. 1 %d\n" % now),
        ],
        "Points older than every archive of their file are counted as dropped": [
            ("old", b"differ.old 1 %d\n" % now + b"differ.old 1 1000000000\n"),
        ],
    }
    for entry, sends in cases.items():
        for _, data in sends:
            for to in (LINE, port):
                with connect(to) as sock:
                    try:
                        sock.sendall(data)
                        sock.shutdown(socket.SHUT_WR)
                        while sock.recv(1000):
                            pass
                    except (BrokenPipeError, ConnectionResetError):
                        pass
        differ(entry)
    only_ours = {"differ/utf8/after.wsp", "differ/long/after.wsp", "differ/inf/after.wsp", "differ/dot.wsp"}
    only_theirs = {"differ/con\x01trol.wsp", "_tagged/differ.wsp", "differ/below.wsp", "differ/above.wsp"}

    def look():
        ours, theirs = files(both.ours), files(both.theirs)
        found = (ours - theirs, theirs - ours)
        missing = {"differ/utf8.wsp", "differ/old.wsp"} - (ours & theirs)
        return None if found == (only_ours, only_theirs) and not missing else (found, missing)

    wait("the differences", look)
    wait("dropped.tooOld", lambda: None if own_sum(both.ours, "benzene/dropped/tooOld") == 1 else "not 1")


def check_longest_name(both, port):
    """Python fails on a name that is too long for a file, and counts an error; nobody has before."""
    name = "differ." + "n" * 300
    for to in (LINE, port):
        with connect(to) as sock:
            send(sock, ["%s 1 %d" % (name, time.time())])
    wait("their error", lambda: None if (counted(both.theirs) or {}).get("errors", 0) > 0 else "none")
    assert counted(both.ours)["errors"] == 0
    differ("Longer names are refused and counted")


def relay(root, destinations):
    """A carbon-relay that gives everything to all of these; a connection to it."""
    os.makedirs(root + "/conf")
    with open(root + "/conf/relay-rules.conf", "w") as file:
        file.write("[all]\ndefault = true\ndestinations = %s\n" % destinations)
    port = free_port()
    start("carbon-relay.py", root, """[relay]
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = %d
PICKLE_RECEIVER_PORT = 0
RELAY_METHOD = rules
DESTINATIONS = %s
DESTINATION_PROTOCOL = pickle
CARBON_METRIC_INTERVAL = 0
MAX_QUEUE_SIZE = 1000000
""" % (port, destinations), BENZENE)
    return connect(port)


def send_directly(ports, now):
    """What a relay would not pass on, and what the lists refuse. Says how many points are left, and
    what each list is to count."""
    garbage = [line % now if "%d" in line else line for line in GARBAGE]
    lists = [0, 0]
    if os.path.exists(BENZENE + "/blacklist.conf"):
        garbage += ["blocked.metric%d 1 %d" % (n, now) for n in range(7)]
        garbage += ["odd.metric%d 1 %d" % (n, now) for n in range(5)]
        lists = [7, 5]
    for port in ports:
        with connect(port) as sock:
            send(sock, garbage)
    return 3, lists


def main(directory):
    ports = cache(directory + "/theirs", BENZENE, CONF)
    through = relay(directory + "/relay", "127.0.0.1:%d:a, 127.0.0.1:%d:b" % (PICKLE, ports["pickle"]))
    both = Both(BENZENE + "/whisper", directory + "/theirs/storage/whisper")
    draw = random.Random(7)
    received, lists = send_directly((LINE, ports["line"]), int(time.time()) // 10 * 10)
    first = backfill(int(time.time())) + traffic(draw, int(time.time()), 3 * 3600)
    first += ["now.by.minus.one%d %d -1" % (n, n) for n in range(5)]
    send(through, first)
    received += len(first)
    counts = agree(both, received, received, received, lists)
    print("exact:", counts, "points in files:", both.points())

    # More of the same, among it seconds that come again with another value: how many of these meet in
    # a cache is a matter of moments, so that only the bounds of what is committed are known.
    end, least = time.monotonic() + SECONDS, received
    again = duplicates(draw, first)
    more = again + again[:50]
    while True:
        send(through, more)
        received += len(more)
        if time.monotonic() >= end:
            break
        time.sleep(5)
        more = traffic(draw, int(time.time()), 900)
    print("agreed:", agree(both, received, least, received, lists))

    check_longest_name(both, ports["line"])
    check_differences(both, ports["line"])
    print("files:", len(files(both.ours)), "points:", both.points())


if __name__ == "__main__":
    with scratch() as directory:
        main(directory)
