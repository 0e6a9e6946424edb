#!/usr/bin/env python3
"""What making new files costs the whole daemon: processor time each and files a second.

usage: run.py [--program target/release/benzene] [--metrics 50000] [--dir DIR | --fs ext4|xfs]
              [--retentions 60s:1d,5m:7d] [--conf LINE]... [--shards N] [--rounds 3]

Each round starts a daemon in a fresh directory (with --fs: on a fresh filesystem of that kind on a
loop device; needs root), sends one point of each metric, sends SIGTERM and waits for the end,
which comes when all is written. A second daemon then gets a point of the same metrics, whose files
are there now: the difference is the create alone. Time counts from the first byte sent to the
last file written (the exit); processor time is user and system of the process with the kernel
workers of its rings, from wait4. Metrics lie a hundred to a directory. Standard library only.
"""
import argparse, os, resource, shutil, signal, socket, subprocess, sys, tempfile, time


def lines(metrics, moment):
    return "".join(f"site{n // 10000}.host{n // 100 % 100}.m{n % 100} {n} {moment}\n" for n in range(metrics)).encode()


def daemon(args, root, payload):
    """Rate and microseconds of one daemon's whole life, less those of an empty one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    conf = "\n".join(["[cache]", f"STORAGE_DIR = {root}", "CARBON_METRIC_INTERVAL = 0", "MAX_UPDATES_PER_SECOND = inf",
                      "MAX_CREATES_PER_MINUTE = inf", f"LINE_RECEIVER_PORT = {port}", "LINE_RECEIVER_INTERFACE = 127.0.0.1",
                      "PICKLE_RECEIVER_PORT = 0", "CACHE_QUERY_PORT = 0", *args.conf])
    for name, text in [("carbon.conf", conf), ("storage-schemas.conf", f"[all]\npattern = .*\nretentions = {args.retentions}\n"),
                       ("storage-aggregation.conf", "")]:
        with open(os.path.join(root, name), "w") as file:
            file.write(text + "\n")
    command = [args.program, "cache", "--config", os.path.join(root, "carbon.conf")]
    if args.shards:
        command += ["--shards", str(args.shards)]
    log = open(os.path.join(root, "daemon.log"), "w")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(500):
            try:
                sender = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.01)
        begin = time.monotonic()
        sender.sendall(payload)
        sender.close()
        # The end of the input is accepted before the stop: the connection is known by then.
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
    except BaseException:
        process.kill()
        raise
    if status:
        sys.exit(f"the daemon ended with {status}:\n" + open(os.path.join(root, "daemon.log")).read()[-3000:])
    count = max(1, payload.count(b"\n"))
    return count / wall, (usage.ru_utime + usage.ru_stime) * 1e6 / count


def round_of(args, place):
    root = tempfile.mkdtemp(prefix="benzene-creates-", dir=place)
    try:
        moment = int(time.time())
        made = daemon(args, root, lines(args.metrics, moment - 60))
        found = daemon(args, root, lines(args.metrics, moment))
        files = sum(len(names) for _, _, names in os.walk(os.path.join(root, "whisper")))
        assert files == args.metrics, f"{files} files of {args.metrics}"
        print(f"  new files: {made[0]:7.0f}/s {made[1]:6.1f} us each;  files there: {found[0]:7.0f}/s {found[1]:6.1f} us each;"
              f"  the create alone: {made[1] - found[1]:6.1f} us", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def fresh(kind, work):
    image, mount = os.path.join(work, "image"), os.path.join(work, "mount")
    with open(image, "wb") as file:
        file.truncate(16 << 30)
    lazy = ["-E", "lazy_itable_init=0,lazy_journal_init=0"] if kind == "ext4" else []
    subprocess.run([f"mkfs.{kind}", "-q", *lazy, image], check=True)
    os.mkdir(mount)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    return mount


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="target/release/benzene")
    parser.add_argument("--metrics", type=int, default=50_000)
    parser.add_argument("--dir", default=tempfile.gettempdir())
    parser.add_argument("--fs", choices=["ext4", "xfs"])
    parser.add_argument("--retentions", default="60s:1d,5m:7d")
    parser.add_argument("--conf", action="append", default=[])
    parser.add_argument("--shards", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    place = f"fresh {args.fs} on a loop device" if args.fs else args.dir
    print(f"{args.metrics} metrics, {args.retentions}, {place}, {args.conf}, shards {args.shards or 'as cores'}; Linux {os.uname().release}")
    for _ in range(args.rounds):
        if not args.fs:
            round_of(args, args.dir)
            continue
        work = tempfile.mkdtemp(prefix="benzene-creates-", dir=args.dir)
        try:
            mount = fresh(args.fs, work)
            try:
                round_of(args, mount)
            finally:
                subprocess.run(["umount", mount], check=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)


main()
