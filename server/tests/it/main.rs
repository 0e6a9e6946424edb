//! Integration tests of the program, in one binary: the real daemon, real clients, Python's own
//! reading of what it wrote.

// A cache far smaller than what is sent: slowed senders, nothing lost.
#[cfg(test)]
mod backpressure;
// whitelist.conf and blacklist.conf, beside Python carbon's own.
#[cfg(test)]
mod lists;
// Files of rules and carbon.conf that change under the daemon.
#[cfg(test)]
mod reload;
// Two hundred clients at once, honest and hostile.
#[cfg(test)]
mod clients;
// `benzene check-config`: broken files, the way of a metric, existing files.
#[cfg(test)]
mod check_config;
// carbon.conf, environment and flags: what they come to, and what is said about mistakes.
#[cfg(test)]
mod config;
// Connections that fall silent, that are too many, that are probed; and every receiver's timestamps.
#[cfg(test)]
mod connections;
// UDP: what the kernel drops is counted.
#[cfg(test)]
mod datagrams;
// Several data directories: who is where, and that none holds up another.
#[cfg(test)]
mod data_dirs;
// Starts and stops the real program for the other modules.
#[cfg(test)]
mod daemon;
// A core that cannot start, after others that could.
#[cfg(test)]
mod late_core;
// A thousand open files, and any number of metrics.
#[cfg(test)]
mod descriptors;
// `benzene doctor`, and the seccomp profile that it names.
#[cfg(test)]
mod doctor;
// Files that stay broken are set aside; others wait for their disk.
#[cfg(test)]
mod broken;
// Disks, files and limits that fail under the daemon.
#[cfg(test)]
mod faults;
// A disk that is full, and has room again.
#[cfg(test)]
mod full_disk;
// A steady load for tests of what goes wrong meanwhile.
#[cfg(test)]
mod load;
// Tools that change two hundred files under load.
#[cfg(test)]
mod tools;
// A disk that answers whatever error it is told to.
#[cfg(test)]
mod failing_disk;
// Errors of a disk under load, by what was asked of it: only what they hit waits, and nothing is lost.
#[cfg(test)]
mod disk_errors;
// What a new user does first, and what he is told when the start cannot succeed.
#[cfg(test)]
mod first_use;
// graphite-web's own client and reader, and every request by hand.
#[cfg(test)]
mod graphite;
// A real carbon-c-relay in front of three instances' ports.
#[cfg(test)]
mod carbon_c_relay;
// Several instances of carbon.conf in one process, and the move there and back.
#[cfg(test)]
mod instances;
// Unix sockets, IPv6, several addresses.
#[cfg(test)]
mod listeners;
// `benzene import-config`: go-carbon's configuration, translated.
#[cfg(test)]
mod import_config;
// `benzene tune`: what it measures, and that nothing stays.
#[cfg(test)]
mod tune;
// The textbook case of MAX_UPDATES_PER_SECOND, and SIGHUP.
#[cfg(test)]
mod limits;
// Which disk the daemon says that it writes to.
#[cfg(test)]
mod disks;
// In which order files are written on a disk with heads.
#[cfg(test)]
mod disk_order;
// Python's write orders, and what overrules them.
#[cfg(test)]
mod orders;
// Python's carbon-cache beside it, and graphite-web over both: files, counts and answers.
#[cfg(test)]
mod parity;
// Another program beside the daemon, which listens.
#[cfg(test)]
mod peer;
// Power cuts while files are made, on ext4 and XFS.
#[cfg(test)]
mod power;
// docs/operating/migrate.md as it is printed, beside Python's carbon-cache.
#[cfg(test)]
mod migrate;
// The first commands of README.md, as they are printed.
#[cfg(test)]
mod readme;
// start, stop, status, pid file, USER, and what systemd is told.
#[cfg(test)]
mod process;
// Own metrics that go to other carbons.
#[cfg(test)]
mod relayed;
// What public dashboards ask of own metrics.
#[cfg(test)]
mod dashboards;
// Python's carbon-relay in front.
#[cfg(test)]
mod relay;
// A real collectd's points: the files are those of Python whisper. Japanese names: the counts.
#[cfg(test)]
mod replay;
// `benzene shadow`: two daemons side by side, and what their files say of each other.
#[cfg(test)]
mod shadow;
// Real senders' points (statsd, Icinga 2, Diamond): the files are those of Python whisper.
#[cfg(test)]
mod senders;
// Own metrics: Python's names, the accounts, the page that explains them.
#[cfg(test)]
mod selfmetrics;
// Where io_uring is not permitted: the fallback, what is said of it, and when it is refused.
#[cfg(test)]
mod forbidden;
// Ten million names, once each: bounded, counted, and nobody is held up.
#[cfg(test)]
mod flood;
// A data disk that hangs, and the journal beside it.
#[cfg(test)]
mod frozen;
// File first, cache second: no accepted point is ever out of sight.
#[cfg(test)]
mod gaps;
// Compressed lines: carbon-c-relay's own, a bomb, and senders who have to wait.
#[cfg(test)]
mod packed;
// The write order `deadline`: what is in the files when, and what graphite-web sees meanwhile.
#[cfg(test)]
mod held;
// Ten thousand connections that say nothing.
#[cfg(test)]
mod idle;
// What is accepted survives kill -9 and fast stops.
#[cfg(test)]
mod journal;
// Points come back from the journal, whole, damaged and through crashes.
#[cfg(test)]
mod journal_replay;
// A journal whose disk is full, or that is at its bound.
#[cfg(test)]
mod journal_faults;
// Power cuts with a journal, on ext4 and XFS.
#[cfg(test)]
mod journal_power;
// `benzene journal`: inspect, verify and export, sound and damaged.
#[cfg(test)]
mod journal_tool;
// As many points as four connections bring: all written, and the memory comes back.
#[cfg(test)]
mod ingest;
// SIGTERM at any moment loses nothing.
#[cfg(test)]
mod stop;
// Tagged series: announced to graphite-web, and their files' names.
#[cfg(test)]
mod tags;
// What a daemon is seen to be doing: memory, CPU, counters, files.
#[cfg(test)]
mod vitals;
// carbon.conf as it is found in packages, images and cookbooks, started as it stands.
#[cfg(test)]
mod wild;
// The wire codecs against the Python of this machine: float(), pickle, str.split.
#[cfg(test)]
mod wire_python;
