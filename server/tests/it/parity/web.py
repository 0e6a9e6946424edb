"""Real graphite-web over Benzene and over Python carbon-cache: the same answers, and no gaps.

Both daemons hold points of the last half hour back (timesorted with MIN_TIMESTAMP_LAG); older ones are
in the files. graphite-web's whole application renders, over its HTTP API, windows that are only in the
cache, half in it, and all in files, each from a directory and a cache-query port of its own; every
answer must be the same, and every slot of a window must have its point.

usage: web.py BENZENE_ROOT LINE_PORT QUERY_PORT LAST [CONF_LINE...]; LAST = 1 renders from the files
alone, after a drain, what a run with LAST = 0 has left in BENZENE_ROOT/rendered.json.
"""

import json
import os
import pickle
import struct
import subprocess
import sys
import time

import whisper
from carbon.util import TaggedSeries

from twin import cache, connect, scratch, send, wait

BENZENE, LINE, QUERY, LAST = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1"
HERE = os.path.dirname(os.path.abspath(__file__))
PLAIN = ["web.host%d.%s" % (host, what) for host in range(3)
         for what in ("cpu", "hits_sum", "peak_max", "floor_min", "state_last")]
TAGGED = ["disk.used;rack=r%d;dc=%s" % (rack, dc) for rack in range(3) for dc in ("ams", "fra")]
TARGETS = PLAIN[:5] + [
    "web.*.cpu",
    "sumSeries(web.*.cpu)",
    "web.host1.{cpu,hits_sum,state_last}",
    "summarize(web.host0.hits_sum,'5min','sum')",
    "summarize(web.*.peak_max,'10min','max')",
    "aggregate(web.*.floor_min,'min')",
    "movingAverage(web.host2.cpu,10)",
    "seriesByTag('name=disk.used')",
    "seriesByTag('name=disk.used','rack=~r[12]')",
    "groupByTags(seriesByTag('name=disk.used'),'sum','dc')",
    "aliasByTags(seriesByTag('name=disk.used','dc=ams'),'rack')",
]


def render(directory, data, query, asked):
    """What graphite-web answers, over this data and this cache-query port."""
    os.makedirs(directory)
    hosts = "127.0.0.1:%d:a" % query if query else ""
    env = dict(os.environ, WEB_ROOT=directory, WHISPER_DIR=data, CARBONLINK_HOSTS=hosts, PYTHONPATH=HERE)
    child = subprocess.run([sys.executable, HERE + "/render.py"], env=env, input=json.dumps(asked),
                           stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(child.stdout)


def cached(port, metric):
    """How many points of a metric a cache has."""
    with connect(port) as sock:
        body = pickle.dumps({"type": "cache-query", "metric": metric}, protocol=2)
        sock.sendall(struct.pack("!L", len(body)) + body)
        data = b""
        while len(data) < 4 or len(data) < 4 + struct.unpack("!L", data[:4])[0]:
            data += sock.recv(65536)
    return len(pickle.loads(data[4:])["datapoints"])


def in_file(data, metric):
    name = TaggedSeries.parse(metric).path
    tagged = TaggedSeries.encode(name, "/", hash_only=True) if ";" in name else name.replace(".", "/")
    path = data + "/" + tagged + ".wsp"
    if not os.path.exists(path):
        return 0
    try:
        _, values = whisper.fetch(path, int(time.time()) - 10000)
    except whisper.CorruptWhisperFile:
        # Python's has its name before it has its header; ours appears whole.
        if data.startswith(BENZENE):
            raise
        return 0
    return sum(value is not None for value in values)


def windows(now):
    """(from, until): only in the cache, half in it, all in files; and the coarser archive."""
    return {"cache": (now - 1400, now - 20), "half": (now - 3600, now - 20), "files": (now - 7000, now - 2400),
            "coarse": (now - 20000, now - 20)}


def check_whole(results, now):
    """Every slot of the fine windows has its point, of every series that is not a moving one."""
    looked = 0
    for name in ("cache", "half", "files"):
        start, end = windows(now)[name]
        for target in TARGETS:
            series = results["%s|%d|%d" % (target, start, end)]
            assert series, (name, target, "no series")
            for one in series:
                values = [value for value, _ in one["datapoints"]]
                assert len(values) > 1 and None not in values, (name, target, one["target"], values)
                looked += len(values)
    return looked


def main(directory):
    ours = BENZENE + "/whisper"
    if LAST:
        with open(BENZENE + "/rendered.json") as file:
            before = json.load(file)
        after = render(directory + "/web", ours, 0, before["asked"])
        wanted = {key: value for key, value in before["results"].items() if key in after and "|%d|" % (before["now"] - 20000) not in key}
        for key, value in wanted.items():
            assert after[key] == value, (key, after[key], value)
        print("after the drain:", len(wanted), "answers,", check_whole(after, before["now"]), "values")
        return
    theirs = directory + "/theirs/storage/whisper"
    ports = cache(directory + "/theirs", BENZENE, "\n".join(sys.argv[5:]))
    now = int(time.time()) // 60 * 60
    value = lambda n, t: (t // 10 * (n + 3)) % 997 / 4
    old, recent = [], []
    for n, metric in enumerate(PLAIN + TAGGED):
        for t in range(now - 9000, now, 10):
            (old if t < now - 1450 else recent).append("%s %r %d" % (metric, value(n, t), t))
    # Newest first: whenever a daemon takes what it has of a metric, what comes after is older and due too.
    old.reverse()
    sides = ((LINE, QUERY, ours), (ports["line"], ports["query"], theirs))
    for line, query, data in sides:
        with connect(line) as sock:
            send(sock, old)
        for metric in PLAIN + TAGGED:
            wait(metric, lambda: None if in_file(data, metric) == 755 else in_file(data, metric))
            # Written points stay answerable for a while, and then go.
            wait(metric, lambda: None if cached(query, TaggedSeries.parse(metric).path) == 0 else "cached")
        with connect(line) as sock:
            send(sock, recent)
        for metric in PLAIN + TAGGED:
            wait(metric, lambda: None if cached(query, TaggedSeries.parse(metric).path) == 145 else "not yet")
    queries = [(target, *window) for target in TARGETS for window in windows(now).values()]
    asked = {"queries": queries, "tagged": TAGGED}
    results = [render("%s/web%d" % (directory, n), data, query, asked)
               for n, (_, query, data) in enumerate(sides)]
    assert list(results[0]) == list(results[1])
    for key, ours in results[0].items():
        for one, other in zip(ours, results[1][key], strict=True):
            pairs = zip(one["datapoints"], other["datapoints"], strict=True)
            apart = [pair for pair in pairs if pair[0] != pair[1]]
            assert one["target"] == other["target"] and one["tags"] == other["tags"] and not apart, (key, now, one["target"], len(apart), apart[:5])
    # Nothing of this was in the files while it was asked for.
    for _, query, data in sides:
        assert in_file(data, PLAIN[0]) == 755 and cached(query, PLAIN[0]) == 145
    print("the same:", len(results[0]), "answers,", check_whole(results[0], now), "values")
    with open(BENZENE + "/rendered.json", "w") as file:
        json.dump({"now": now, "asked": asked, "results": results[0]}, file)


if __name__ == "__main__":
    with scratch() as directory:
        main(directory)
