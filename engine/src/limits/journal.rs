//! Bounds of the journal: its blocks and segments, what is read of it, and what is noted once more.

use std::time::Duration;

use super::{BATCH_POINTS_MAX, METRIC_NAME_BYTES_MAX, TURN_PARCEL_POINTS_MAX};

/// Longest payload of a block of the journal that is written or believed: what is read is summed up
/// before it is known to be one. What a full buffer takes beyond its bound fits.
pub const JOURNAL_PAYLOAD_BYTES_MAX: u32 = 8 << 20;
/// Payload at which a block of the journal is full: a hundred thousand points, a tenth of a
/// millisecond of copying into the page cache, and twice that much memory a shard.
pub const JOURNAL_BLOCK_BYTES: usize = 1 << 20;
/// Payload at which a block goes to the disk before its time has come, where the one before is
/// written: the buffers that go round then stay in the processor's second cache, where a megabyte of
/// each kind had left it by the time it was summed up, copied and filled again.
pub const JOURNAL_BLOCK_BYTES_NEAR: usize = 128 << 10;
const _: () = assert!(JOURNAL_BLOCK_BYTES_NEAR <= JOURNAL_BLOCK_BYTES);
/// What a full block may take beyond: what its owner takes in one turn before it asks again whether
/// the journal is congested (a turn's lines, and `TURN_PARCEL_POINTS_MAX` points of other shards with
/// a message, each with the longest new name), and the ends of updates that were in flight.
pub const JOURNAL_OVERRUN_BYTES: usize = 5 << 20;
/// Part of that (one in so many) at which other shards' points wait too; the rest is what one more turn
/// may bring.
pub const JOURNAL_OVERRUN_PART: usize = 5;
const _: () =
    assert!(JOURNAL_BLOCK_BYTES + JOURNAL_OVERRUN_BYTES <= JOURNAL_PAYLOAD_BYTES_MAX as usize);
const _: () = assert!(
    JOURNAL_OVERRUN_BYTES
        >= (TURN_PARCEL_POINTS_MAX + BATCH_POINTS_MAX) * (METRIC_NAME_BYTES_MAX + 50)
);
/// Length of a segment of the journal: a minute of a million points, and 160 of them are 10 GB.
pub const JOURNAL_SEGMENT_BYTES: u32 = 64 << 20;
/// Shortest segment: the longest name fits in it with its heads.
pub const JOURNAL_SEGMENT_BYTES_MIN: u32 = 8 << 10;
const _: () = assert!(JOURNAL_SEGMENT_BYTES_MIN as usize > 2 * METRIC_NAME_BYTES_MAX);
/// Longest segment: offsets in it are 32 bits with room for a last block.
pub const JOURNAL_SEGMENT_BYTES_MAX: u32 = 1 << 30;
const _: () = assert!(JOURNAL_SEGMENT_BYTES <= JOURNAL_SEGMENT_BYTES_MAX);
/// Fewest segments of a shard, of both kinds together: of points one that is written, one that
/// waits to be retired and the next one; of names one.
pub const JOURNAL_SEGMENTS_MIN: u32 = 4;
/// Segments of points that a shard may have however many its names take: one is written while the
/// other is retired.
pub const JOURNAL_POINT_SEGMENTS_MIN: u32 = 2;
const _: () = assert!(JOURNAL_POINT_SEGMENTS_MIN < JOURNAL_SEGMENTS_MIN);
/// Blocks that still go into the last segment when no more points are taken: the one that is being
/// filled, the one that waits, and the records of what is written, by which a segment gets free.
pub const JOURNAL_BLOCKS_IN_HAND: u64 = 3;
/// Share of the segments in use, in quarters, at which what pins the oldest is pushed: what is left
/// then lasts while a few rounds of the writer and of syncs go by.
pub const JOURNAL_PUSH_QUARTERS: u32 = 3;
/// Ids after which a journal numbers its names anew: half of what 32 bits hold, so that what is given
/// until then fits too.
pub const JOURNAL_IDS_BEFORE_RESET: u32 = 1 << 31;
/// How long after a failure of the journal's disk a new segment is tried.
pub const JOURNAL_RETRY: Duration = Duration::from_secs(10);
/// Bytes of the journal that a replay reads at once: a disk that turns gives so much for the price of
/// two seeks, and copying it takes a tenth of a millisecond.
pub const JOURNAL_READ_BYTES: u32 = 1 << 20;
/// Reads of one replay in flight, and of their answers waiting: 4 MiB a shard keep a disk busy.
pub const JOURNAL_READS_AHEAD_MAX: usize = 4;
/// Bytes that are given up where the disk cannot read them: a failed read is done again in so small pieces.
pub const JOURNAL_REREAD_BYTES: u32 = 16 << 10;
const _: () = assert!(JOURNAL_READ_BYTES.is_multiple_of(JOURNAL_REREAD_BYTES));
/// How long a read of a replay, or a next segment, rests that failed for want of descriptors or memory: it
/// is tried again until it succeeds, and a shard with a journal has a turn so often (`DATA_SYNC_LOOK`).
pub const JOURNAL_SCARCE_RETRY: Duration = Duration::from_secs(1);
/// How long a next segment is waited for so behind a stop, while connections leave their descriptors.
pub const JOURNAL_LAST_WANT: Duration = Duration::from_secs(3);
/// Places of damage that a replay names one by one; the others it counts.
pub const JOURNAL_HARMS_KEPT_MAX: usize = 256;
/// Largest JOURNAL_MAX_BYTES accepted: at 200 MB a second it takes an hour and a half to read.
pub const JOURNAL_BYTES_MAX: u64 = 1 << 40;
/// JOURNAL_MAX_BYTES where nothing is set, unless a tenth of its disk is less: at 9 bytes a point
/// this is a billion points, 20 minutes of a million a second.
pub const JOURNAL_BYTES_USUAL: u64 = 10 << 30;
/// Largest JOURNAL_COMMIT accepted, in milliseconds: who can lose more needs no journal.
pub const JOURNAL_COMMIT_MS_MAX: u64 = 60_000;
/// How long a point waits to be written at most which somebody waits for: with JOURNAL_SYNC = always a
/// query's answer, and after a start all that is to be written to files. A sync each, and a hundred a
/// second are what a disk takes beside its work.
pub const JOURNAL_COMMIT_AWAITED: Duration = Duration::from_millis(10);
/// Largest JOURNAL_SYNC accepted, in milliseconds, for the same reason.
pub const JOURNAL_SYNC_MS_MAX: u64 = 3_600_000;
/// How often at most the data's file system is synced for the journal's sake: each sync writes out
/// what is dirty, and a segment is a minute of a million points.
pub const DATA_SYNC_EVERY: Duration = Duration::from_secs(5);
/// Series that are looked at in a turn for those that keep the journal's oldest segment: some 20 us,
/// and a million series in a thousand turns.
pub const PINS_LOOKED_AT_PER_TURN_MAX: usize = 1024;
/// Series that are known to keep it and wait to be written: a few turns of updates.
pub const PINNED_SERIES_MAX: usize = 4096;
/// Seconds after which an update in flight is not waited for by who keeps the oldest segment: its file lies
/// on something that hangs, and a disk that works takes less, however busy it is.
pub const IN_FLIGHT_LONG_S: u32 = 20;
/// What a point that is journaled once more takes at most: tag, id, timestamp and value, and an age.
pub const JOURNAL_CARRIED_POINT_BYTES: u64 = 20;
/// Points of one series that are journaled once more together, whatever room the block has: a series
/// with more is noted in parts, over as many turns as that takes. With its name it fits beyond a full
/// block before what other shards have accepted does.
pub const JOURNAL_CARRIED_PART_POINTS: usize = 4096;
const _: () = assert!(
    JOURNAL_CARRIED_PART_POINTS as u64 * JOURNAL_CARRIED_POINT_BYTES
        + 2 * METRIC_NAME_BYTES_MAX as u64
        <= (JOURNAL_OVERRUN_BYTES / JOURNAL_OVERRUN_PART) as u64
);
/// Part of a shard's journal (one in so many) that points may take which cannot be written: metrics
/// that wait for their create, files that are parked. Beyond it they are dropped and counted.
pub const JOURNAL_CARRIED_SHARE: u64 = 4;
/// Series that are journaled once more in a turn after the journal's disk has recovered: fewer where
/// their points fill a block before.
pub const JOURNALED_AGAIN_PER_TURN_MAX: u32 = 512;
/// Series that are looked at in a turn once what was written of them may be noted: a tenth of a
/// millisecond or two.
pub const NOTED_WRITTEN_PER_TURN_MAX: u32 = 1 << 14;
/// Links of series that are let go of in a turn once earlier epochs owe nothing: some tenths of a
/// millisecond.
pub const UNLINKED_PER_TURN_MAX: usize = 4096;
/// How long a stop that leaves points in the journal waits for updates that are under way: longer than
/// a disk that works takes for one, and well within what service managers give a stop (90 s).
pub const STOP_UPDATES_WAIT: Duration = Duration::from_secs(10);
/// How often a shard looks what has become of a sync of the data's file system.
pub const DATA_SYNC_LOOK: Duration = Duration::from_secs(1);
/// Points that are decoded of an earlier run's journal in a turn: some 0.4 ms with their insert.
pub const RECALLED_PER_TURN_MAX: usize = 4096;
/// Points of these that are journaled anew before it is asked again whether the journal's buffers have
/// room. Each may bring the longest new name, and so may the few that were decoded before and found no
/// room in the cache: they fit beyond what keeps the next from coming.
pub const RECALLED_TOGETHER_MAX: usize = 512;
const _: () = assert!(RECALLED_PER_TURN_MAX.is_multiple_of(RECALLED_TOGETHER_MAX));
const _: () = assert!(
    JOURNAL_OVERRUN_BYTES - JOURNAL_OVERRUN_BYTES / JOURNAL_OVERRUN_PART
        >= 2 * RECALLED_TOGETHER_MAX * (METRIC_NAME_BYTES_MAX + 50)
);
/// Old segments that are removed at a time: each frees 64 MiB, which a file system takes its time for.
pub const REMOVALS_IN_FLIGHT_MAX: usize = 2;
/// How often the journal asks whether what was written to files is on their device. After a power cut
/// what was written since is written once more. The kernel itself writes pages out that are so old
/// (dirty_expire_centisecs), so that little is written earlier than it would be.
pub const DATA_MARK_EVERY: Duration = Duration::from_secs(30);
/// Files that a shard's journal has open at once, on its ring's threads apart, and as many that its
/// replay reads through the ring: two visits of the present and of the next segment of each kind, and of
/// those that are being closed.
pub const JOURNAL_VISITS_MAX: u32 = 16;
/// So long before the start the ages of points begin to count: points that came back are older than
/// the process, up to 12 days.
pub const AGES_BEFORE_START: Duration = Duration::from_secs(1 << 20);
/// Segments of a shard's journal where their length is left open and the journal is small: enough that
/// one that is pinned does not keep the others from going round.
pub const JOURNAL_SEGMENTS_USUAL_MIN: u64 = 8;
