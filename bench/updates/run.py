#!/usr/bin/env python3
"""What updates of existing files cost the whole daemon: processor time and updates a second.

usage: run.py [--program target/release/benzene] [--metrics 50000] [--points 1] [--rounds 6] [--hold SECONDS]
              [--dir DIR] [--retentions 60s:1d,5m:7d] [--conf LINE]... [--shards N]

One daemon makes a file for each metric. Each round then sends --points points of every metric over one
connection, a minute apart from each other, and waits until the daemon rests, which it does when all is
written; --hold waits that long first, for write orders that hold points back. The sender's own work is
done before the round begins. Processor time is user and system of the process with the kernel workers of
its rings, exact to 10 ms; a rate counts from the first byte sent to the last 50 ms in which the daemon
worked. Afterwards the daemon's own count of updates is held against what was asked. Standard library only.
"""
import argparse, os, re, shutil, signal, socket, subprocess, sys, tempfile, time

LOOK = 0.05
STILL = 6
TICKS = os.sysconf("SC_CLK_TCK")
# Each update goes on to the second archive, also where a slot of it has one point yet.
PROPAGATES = "[all]\npattern = .*\nxFilesFactor = 0"


def start(args, root):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    conf = ["[cache]", f"STORAGE_DIR = {root}", "CARBON_METRIC_INTERVAL = 0", f"LINE_RECEIVER_PORT = {port}",
            "LINE_RECEIVER_INTERFACE = 127.0.0.1", "PICKLE_RECEIVER_PORT = 0", "CACHE_QUERY_PORT = 0", "SHUTDOWN = drain",
            *args.conf]
    for name, text in [("carbon.conf", "\n".join(conf)), ("storage-aggregation.conf", PROPAGATES),
                       ("storage-schemas.conf", f"[all]\npattern = .*\nretentions = {args.retentions}")]:
        with open(os.path.join(root, name), "w") as file:
            file.write(text + "\n")
    command = [args.program, "cache", "--config", os.path.join(root, "carbon.conf")]
    if args.shards:
        command += ["--shards", str(args.shards)]
    with open(os.path.join(root, "log"), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    for _ in range(500):
        try:
            return process, socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.01)
    process.kill()
    sys.exit("the daemon does not listen:\n" + said(root))


def said(root):
    with open(os.path.join(root, "log")) as log:
        return log.read()


def user_and_system(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def cpu(pid):
    return sum(user_and_system(pid))


def rest(pid):
    """Waits until processor time stands still; returns when it last moved."""
    last, moved, still = cpu(pid), time.monotonic(), 0
    while still < STILL:
        time.sleep(LOOK)
        now = cpu(pid)
        if now > last + 0.005:
            last, moved, still = now, time.monotonic(), 0
        else:
            still += 1
    return moved


def lines(metrics, number, moment):
    return "".join(f"site{n // 10000}.host{n // 100 % 100}.m{n % 100} {n + number}.5 {moment}\n"
                   for n in range(metrics)).encode()


def measure(args, root):
    process, sender = start(args, root)
    try:
        base = int(time.time()) // 60 * 60 - 60 * (args.rounds * args.points + 1)
        sender.sendall(lines(args.metrics, 0, base))
        time.sleep(max(1, args.hold))
        rest(process.pid)
        number = 1
        for round_number in range(args.rounds):
            payload = [lines(args.metrics, number + n, base + 60 * (number + n)) for n in range(args.points)]
            number += args.points
            before, begin = user_and_system(process.pid), time.monotonic()
            for part in payload:
                sender.sendall(part)
            time.sleep(args.hold)
            wall = rest(process.pid) - begin
            user, system = ((after - earlier) * 1e6 / args.metrics
                            for after, earlier in zip(user_and_system(process.pid), before))
            used = user + system
            rate = "" if args.hold else f", {args.metrics / wall:.0f} metrics/s"
            print(f"  round {round_number}: {used:5.1f} us a metric (user {user:.1f}, system {system:.1f}), "
                  f"{used / args.points:5.2f} us a point{rate}", flush=True)
        sender.close()
        process.send_signal(signal.SIGTERM)
        if process.wait():
            sys.exit("the daemon ended badly:\n" + said(root)[-3000:])
    except BaseException:
        process.kill()
        raise
    updates = int(re.search(r"updates (\d+)", said(root)).group(1)) - args.metrics
    print(f"  {updates} updates for {args.metrics * args.rounds} of a metric a round")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="target/release/benzene")
    parser.add_argument("--metrics", type=int, default=50_000)
    parser.add_argument("--points", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--hold", type=float, default=0)
    parser.add_argument("--dir", default=tempfile.gettempdir())
    parser.add_argument("--retentions", default="60s:1d,5m:7d")
    parser.add_argument("--conf", action="append", default=[])
    parser.add_argument("--shards", type=int)
    args = parser.parse_args()
    print(f"{args.metrics} files of {args.retentions}, {args.points} points each a round, {args.conf}, "
          f"shards {args.shards or 'as cores'}; Linux {os.uname().release}")
    root = tempfile.mkdtemp(prefix="benzene-updates-", dir=args.dir)
    try:
        measure(args, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


main()
