"""What the side-by-side tests share: Python's carbon daemons as children, and Whisper files as sets.

Used by parity.py and web.py. A child is killed when the script ends, however it ends; the logs of all
are printed where it fails. Waits for conditions, and no longer than PATIENCE.
"""

import contextlib
import glob
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

PATIENCE = 60
CHILDREN = []
LOGS = []


@contextlib.contextmanager
def scratch():
    """A directory of one's own; what was started is killed at the end."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            yield directory
        except BaseException:
            for path in LOGS:
                with open(path, errors="replace") as file:
                    print(path, file.read()[-3000:], file=sys.stderr)
            raise
        finally:
            for child in CHILDREN:
                child.kill()
                child.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(program, root, conf, like):
    """Starts one of carbon's daemons in the foreground, with these lines as its carbon.conf and the
    other files of configuration that Benzene has in `like`."""
    os.makedirs(root + "/conf", exist_ok=True)
    for name in os.listdir(like):
        if name.endswith(".conf") and name != "carbon.conf":
            with open(like + "/" + name) as file, open(root + "/conf/" + name, "w") as copy:
                copy.write(file.read())
    with open(root + "/conf/carbon.conf", "w") as file:
        file.write(conf)
    LOGS.append(root + "/log.txt")
    log = open(LOGS[-1], "w")
    child = subprocess.Popen(
        [sys.executable, os.path.dirname(sys.executable) + "/" + program, "--debug",
         "--config", root + "/conf/carbon.conf", "--pidfile", root + "/pid", "start"],
        env=dict(os.environ, GRAPHITE_ROOT=root), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    CHILDREN.append(child)
    return child


def wait(what, look, patience=PATIENCE):
    """Looks again and again until `look` says None: nothing is wrong."""
    end = time.monotonic() + patience
    while True:
        wrong = look()
        if wrong is None:
            return
        assert time.monotonic() < end, (what, wrong)
        assert all(child.poll() is None for child in CHILDREN), (what, "a daemon of carbon's ended")
        time.sleep(0.05)


def connect(port):
    found = []

    def look():
        try:
            found.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        except ConnectionRefusedError as refused:
            return refused

    wait("port %d" % port, look)
    return found[0]


def contents(path):
    """A file's header and each archive's set of points, values as bits."""
    with open(path, "rb") as file:
        data = file.read()
    count = struct.unpack(">L", data[12:16])[0]
    header = data[: 16 + 12 * count]
    archives = []
    for offset, _, points in struct.iter_unpack(">LLL", header[16:]):
        body = data[offset : offset + 12 * points]
        slots = (body[at : at + 12] for at in range(0, len(body), 12))
        archives.append({slot for slot in slots if slot[:4] != bytes(4)})
    return header, archives


def files(root):
    """The files of what was received, by path."""
    found = glob.glob(root + "/**/*.wsp", recursive=True)
    paths = {os.path.relpath(path, root) for path in found}
    return {path for path in paths if not path.startswith("carbon/agents/")}


def cache(root, like, extra):
    """A carbon-cache; its ports."""
    ports = {name: free_port() for name in ("line", "pickle", "query")}
    start("carbon-cache.py", root, """[cache]
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = %(line)d
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = %(pickle)d
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = %(query)d
MIN_TIMESTAMP_RESOLUTION = 1
MAX_UPDATES_PER_SECOND = inf
LOG_UPDATES = False
LOG_CREATES = False
LOG_CACHE_HITS = False
LOG_CACHE_QUEUE_SORTS = False
LOG_LISTENER_CONN_SUCCESS = False
ENABLE_LOGROTATION = False
ENABLE_TAGS = False
%(extra)s
""" % dict(ports, extra=extra), like)
    for port in ports.values():
        connect(port).close()
    return ports


def send(sock, lines):
    for at in range(0, len(lines), 500):
        sock.sendall("".join(line + "\n" for line in lines[at : at + 500]).encode())
