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

/// Smallest submission queue: the longest chain must fit in it at once, or the kernel cuts it.
pub const RING_ENTRIES_MIN: u32 = 64;
/// Largest submission queue: past this a turn costs more than another `io_uring_enter` does.
pub const RING_ENTRIES_MAX: u32 = 4096;
/// Completion queue per submission entry: multishot receives answer many times for one entry.
pub const RING_COMPLETIONS_PER_ENTRY: u32 = 8;
const _: () = assert!(RING_ENTRIES_MAX * RING_COMPLETIONS_PER_ENTRY <= 65_536);
/// Most receive buffers of one ring: the kernel's bound for a buffer ring.
pub const RECEIVE_BUFFERS_MAX: u16 = 32_768;
/// Largest receive buffer: sixteen times the largest datagram; more only delays the first byte.
pub const RECEIVE_BUFFER_BYTES_MAX: u32 = 1 << 20;
/// Most open visits of one ring; each is a kernel file, and no disk queue is deeper.
pub const VISITS_MAX: u32 = 16_384;
/// Most sockets of one ring, so that a slot fits the 24 bits it has in `user_data`.
pub const SOCKETS_MAX: usize = 1 << 24;
/// Most file operations that one ring holds unanswered, waiting ones included: a shard that asks
/// for more has lost count.
pub const FILE_OPERATIONS_MAX: usize = 1 << 17;
const _: () = assert!(FILE_OPERATIONS_MAX < 1 << 24);
/// Most stretches in one read or write: their number is 16 bits in `user_data`.
pub const FILE_PIECES_MAX: usize = 65_535;
/// Most requests of one file operation in the kernel at once, linked or not.
pub const FILE_REQUESTS_TOGETHER_MAX: usize = 16;
const _: () = assert!(FILE_REQUESTS_TOGETHER_MAX * 4 <= RING_ENTRIES_MIN as usize);
/// Most creates in flight in one ring: each holds a descriptor and up to `ZERO_CHUNK_BYTES`.
pub const CREATES_TOGETHER_MAX: usize = 128;
/// Zeros written by one request: a usual Whisper file is made by one.
pub const ZERO_CHUNK_BYTES: usize = 65_536;
/// How often EINTR, EAGAIN, ENOMEM or a cut link are forgiven without any progress in between:
/// each costs a turn, and what has not passed by then will not.
pub const TRANSIENT_RETRIES_MAX: u32 = 64;
/// Most mkdir steps of one create: up and down the deepest path, and once more if a cleaner
/// removes directories meanwhile.
pub const DIRECTORY_STEPS_MAX: usize = 2 * PATH_BYTES_MAX;
/// How often a create makes its directories anew when they vanish meanwhile.
pub const DIRECTORY_ROUNDS_MAX: u32 = 3;
/// How many temporary names a create tries when they are taken.
pub const TEMPORARY_NAMES_MAX: u32 = 16;
/// How long dropping a ring waits for a kernel that completes nothing more, in turns of 100 ms;
/// what it still holds then is never freed.
pub const DRAIN_TURNS_MAX: u32 = 50;
