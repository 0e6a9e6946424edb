//! Every bound of the engine and the server, each with its reason and its relation to the others.
//! Where carbon.conf sets a value, the bound here is the largest that is accepted for it.

/// Longest path the kernel takes, with its closing zero byte (PATH_MAX).
pub const PATH_BYTES_MAX: usize = 4096;
/// Longest data directory path that is accepted at start.
pub const DATA_DIR_BYTES_MAX: usize = 1024;
/// Longest file or directory name (NAME_MAX on ext4, XFS, btrfs, tmpfs).
pub const PATH_COMPONENT_BYTES_MAX: usize = 255;
/// Longest metric name. It becomes a path: data directory, name and `.wsp` must fit in
/// `PATH_BYTES_MAX`.
pub const METRIC_NAME_BYTES_MAX: usize = 3060;
const _: () =
    assert!(DATA_DIR_BYTES_MAX + 1 + METRIC_NAME_BYTES_MAX + ".wsp".len() < PATH_BYTES_MAX);

/// Longest line of the line protocol, without its newline: Twisted's LineOnlyReceiver.MAX_LENGTH,
/// which Python carbon enforces.
pub const LINE_BYTES_MAX: usize = 16_384;
const _: () = assert!(METRIC_NAME_BYTES_MAX < LINE_BYTES_MAX);
/// Largest PICKLE_RECEIVER_MAX_LENGTH accepted, as go-carbon's default: one frame of a relay.
pub const PICKLE_FRAME_BYTES_MAX: usize = 64 << 20;
/// Largest cache-query request: a bulk query of some ten thousand names.
pub const QUERY_FRAME_BYTES_MAX: usize = 4 << 20;

/// Most shards in a process: shard numbers are `u16`, and no machine we know has more cores.
pub const SHARDS_MAX: usize = 1024;
/// Most archives in a Whisper header that we accept: Python has no bound, real files have 2 to 6.
pub const ARCHIVES_MAX: usize = 64;

/// How long a written point stays answerable, in seconds: longer than graphite-web takes from
/// reading the file to asking the cache.
pub const RECENT_S: u64 = 5;

/// Slowest rate of a budget that is not zero, per second: one in an hour.
pub const BUDGET_RATE_MIN: f64 = 1.0 / 3600.0;
/// Fastest rate of a budget, per second: no disk comes near, and the steps of its time are still
/// fine enough.
pub const BUDGET_RATE_MAX: f64 = 100e6;
/// Longest burst of a budget, in seconds.
pub const BUDGET_BURST_S_MAX: f64 = 60.0;
