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

/// Most rewritings of a received name before it must have come to rest. One folding can lay bare
/// OpenMetrics tags, whose metric can hold `;` tags, which are then sorted: three, and one to see
/// that nothing changes.
pub const METRIC_NAME_PASSES_MAX: usize = 6;

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

/// Longest value in a configuration file once its `%(key)s` references are resolved: ten keys that
/// each name another ten times would otherwise fill the memory.
pub const INI_VALUE_BYTES_MAX: usize = 64 << 10;
/// Most keys that a reference in a configuration file may lead through: Python's
/// MAX_INTERPOLATION_DEPTH.
pub const INI_REFERENCE_DEPTH_MAX: usize = 10;
/// Most bytes of a finer archive that are read to aggregate one point of a coarser one: 65 days of
/// seconds. Real schemas stay below a megabyte; a header that asks for more is refused, so that no
/// file makes us read gigabytes.
pub const WHISPER_WINDOW_BYTES_MAX: u64 = 64 << 20;
const _: () = assert!(WHISPER_WINDOW_BYTES_MAX <= u32::MAX as u64);
/// Most values of one answer of `whisper::fetch`: two years of seconds, 1 GiB.
pub const FETCH_VALUES_MAX: u64 = 1 << 26;
/// Longest regular expression in a configuration file: a site's longest alternations have a few
/// hundred bytes.
pub const PATTERN_BYTES_MAX: usize = 8 << 10;
/// Most steps of backtracking in one search, a tenth of fancy-regex's default: some milliseconds. A
/// sender can choose names for which a careless pattern takes forever; such a name does not match.
pub const PATTERN_BACKTRACKS_MAX: usize = 100_000;
