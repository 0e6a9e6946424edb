//! Every bound of the engine and the server, each with its reason and its relation to the others.
//! Where carbon.conf sets a value, the bound here is the largest that is accepted for it.

use std::time::Duration;

mod journal;

pub use journal::*;

/// Longest path the kernel takes, with its closing zero byte (PATH_MAX).
pub const PATH_BYTES_MAX: usize = 4096;
/// Longest data directory path that is accepted at start.
pub const DATA_DIR_BYTES_MAX: usize = 1024;
/// Longest file or directory name (NAME_MAX on ext4, XFS, btrfs, tmpfs).
pub const PATH_COMPONENT_BYTES_MAX: usize = 255;
/// Longest metric name. It becomes a path: data directory, name and `.wsp` must fit in `PATH_BYTES_MAX`.
pub const METRIC_NAME_BYTES_MAX: usize = 3060;
const _: () =
    assert!(DATA_DIR_BYTES_MAX + 1 + METRIC_NAME_BYTES_MAX + ".wsp".len() < PATH_BYTES_MAX);

/// Most rewritings of a received name before it must have come to rest. One folding can lay bare OpenMetrics
/// tags, whose metric can hold `;` tags, which are then sorted: three, and one to see that nothing changes.
pub const METRIC_NAME_PASSES_MAX: usize = 6;

/// Longest line of the line protocol, without its newline: Twisted's LineOnlyReceiver.MAX_LENGTH,
/// which Python carbon enforces.
pub const LINE_BYTES_MAX: usize = 16_384;
const _: () = assert!(METRIC_NAME_BYTES_MAX < LINE_BYTES_MAX);
/// Largest PICKLE_RECEIVER_MAX_LENGTH accepted, as go-carbon's default: one frame of a relay.
pub const PICKLE_FRAME_BYTES_MAX: usize = 64 << 20;
/// The bytes back to which deflate can refer, which a compressed stream keeps.
pub const GZIP_WINDOW_BYTES: usize = 32 << 10;
/// What a compressed stream takes in memory: its window, and the tables of its unpacker.
pub const GZIP_STREAM_BYTES: usize = 48 << 10;
const _: () = assert!(GZIP_WINDOW_BYTES < GZIP_STREAM_BYTES);
/// What all compressed streams of the process may take: 2,730 of them. Past it the one that has been
/// silent longest is closed, and where all wait for us, the one that came last.
pub const GZIP_STREAMS_BYTES_MAX: usize = 128 << 20;
/// Compressed bytes that are unpacked between two looks at what it has cost.
pub const GZIP_PIECE_BYTES: usize = 512;
/// What a compressed byte costs at least in a turn, in bytes of lines: one that makes little may be of
/// a block's tables, which take longer than the lines that an honest stream makes of them.
pub const GZIP_INPUT_COST: usize = 4;
/// What the end of a member costs besides: the next one begins with fresh tables.
pub const GZIP_MEMBER_COST: usize = 1024;
/// Longest frame of the protobuf receiver, as Python carbon has it.
pub const PROTOBUF_FRAME_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of groups in a protobuf frame, whose fields nobody knows: protobuf's own bound.
pub const PROTOBUF_GROUPS_DEPTH_MAX: usize = 100;
/// Largest cache-query request: a bulk query of some 90,000 names.
pub const QUERY_FRAME_BYTES_MAX: usize = 4 << 20;

/// Room for an unfinished line that a connection keeps between lines: most lines fit, and a
/// connection that once sent a long one does not hold on to its memory.
pub const LINE_PENDING_BYTES_KEPT: usize = 1024;
const _: () = assert!(LINE_PENDING_BYTES_KEPT < LINE_BYTES_MAX);
/// Room for an unfinished frame that a connection keeps between frames, for the same reason.
pub const FRAME_PENDING_BYTES_KEPT: usize = 64 << 10;
/// Most objects in one pickle, and most places where they stand in lists. An honest point is five objects in
/// no fewer than 40 bytes, so the largest frame fits; one of nothing but empty lists, a byte each, does not.
pub const PICKLE_OBJECTS_MAX: usize = 8 << 20;
const _: () = assert!(PICKLE_FRAME_BYTES_MAX / 40 * 5 <= PICKLE_OBJECTS_MAX);
/// Objects for which an idle unpickler keeps its memory: a relay's batch of 500 points, many times.
pub const PICKLE_OBJECTS_KEPT: usize = 64 << 10;
const _: () = assert!(PICKLE_OBJECTS_KEPT <= PICKLE_OBJECTS_MAX);
/// Bytes of text that are looked at per byte of a frame. Text that stands once is looked at once;
/// two bytes can name a long text again, and without this bound make us parse it again each time.
pub const PICKLE_TEXT_FACTOR_MAX: usize = 16;
/// Largest cache-query reply that is sent or read. 15 bytes are a point of three objects, so that
/// what we send can be read by us; two million points of one answer are no cache any more.
pub const QUERY_REPLY_BYTES_MAX: usize = 32 << 20;
const _: () = assert!(QUERY_REPLY_BYTES_MAX / 15 * 3 <= PICKLE_OBJECTS_MAX);
const _: () = assert!(QUERY_REPLY_BYTES_MAX > QUERY_FRAME_BYTES_MAX);
/// Points that a core collects for one question: no reply has room for more. A request of megabytes may
/// name one metric in a hundred thousand ways.
pub const QUERY_POINTS_MAX: usize = QUERY_REPLY_BYTES_MAX / 15;
/// Longest text of an error reply: it quotes what the client sent, which may be megabytes.
pub const QUERY_ERROR_BYTES_MAX: usize = 1024;
/// Largest configuration file that is read: 100,000 schemas fit, /dev/zero does not.
pub const CONFIG_FILE_BYTES_MAX: u64 = 16 << 20;
/// Smallest PICKLE_RECEIVER_MAX_LENGTH accepted: a pickle of one point with a short name.
pub const PICKLE_FRAME_BYTES_MIN: usize = 64;
const _: () = assert!(PICKLE_FRAME_BYTES_MIN < PICKLE_FRAME_BYTES_MAX);
/// Largest MAX_CACHE_SIZE other than inf: at 16 bytes a point, the largest MAX_CACHE_BYTES.
pub const CACHE_POINTS_MAX: u64 = CACHE_BYTES_MAX / 16;
/// Smallest MAX_CACHE_BYTES accepted: the tables and block pools of a few shards, before a point.
pub const CACHE_BYTES_MIN: u64 = 1 << 20;
/// Largest MAX_CACHE_BYTES accepted: no machine that we know has more memory (64 TiB).
pub const CACHE_BYTES_MAX: u64 = 64 << 40;
const _: () = assert!(CACHE_BYTES_MIN < CACHE_BYTES_MAX);
/// Largest MAX_UPDATES_PER_SECOND other than inf: ten times what the fastest devices do.
pub const UPDATES_PER_SECOND_MAX: u64 = 100_000_000;
/// Largest MAX_CREATES_PER_MINUTE other than inf: a minute of the largest update rate.
pub const CREATES_PER_MINUTE_MAX: u64 = UPDATES_PER_SECOND_MAX * 60;
/// Largest MIN_TIMESTAMP_RESOLUTION accepted: a day; coarser is an archive's work.
pub const TIMESTAMP_RESOLUTION_SECONDS_MAX: u64 = 86_400;
/// Largest MIN_TIMESTAMP_LAG accepted: a day, the span of many a first archive.
pub const TIMESTAMP_LAG_SECONDS_MAX: u64 = 86_400;
/// Smallest MAX_POINT_AGE accepted: ages count in whole seconds.
pub const POINT_AGE_SECONDS_MIN: u64 = 1;
/// Largest MAX_POINT_AGE accepted: a day, the span of many a first archive.
pub const POINT_AGE_SECONDS_MAX: u64 = 86_400;
/// MAX_POINT_AGE where nothing moves in the disk: a minute's points of a metric are one update, and a
/// reader of files alone is a minute behind.
pub const POINT_AGE_SSD_SECONDS: u32 = 60;
/// MAX_POINT_AGE on a spinning disk: an update costs it some seeks, however many points it has.
pub const POINT_AGE_HDD_SECONDS: u32 = 300;
const _: () = assert!(POINT_AGE_HDD_SECONDS as u64 <= POINT_AGE_SECONDS_MAX);
/// Part of its first archive's retention that a point may be held for, one in so many: one that is
/// held longer might not find a slot there any more.
pub const HOLD_RETENTION_PART: u32 = 4;
/// Distinct times for which a shard's series are held; there are as many as short first archives.
/// Past it, the next shorter one serves.
pub const HOLD_CLASSES_MAX: usize = 64;
/// A series whose cached points span so many holds is a backfill: held and live they would have been as
/// many updates, so that one more, where they are written before others have joined them, is little.
pub const BACKFILL_HOLDS: u32 = 4;
/// Points of a backfill at least. With fewer, another one is worth waiting for.
pub const BACKFILL_POINTS_MIN: u32 = 8;
/// Seconds without a point after which the sender of a backfill has stopped: who sends a point of every
/// metric in turn takes longer than that for a million metrics only.
pub const BACKFILL_QUIET_S: u32 = 3;
/// Series of a shard that are known to be a backfill, perhaps: 12 bytes each. Others are held as usual.
pub const BACKFILL_LOOKS_MAX: usize = 1 << 18;
/// As many of them that are looked at in a turn: some 0.2 ms.
pub const BACKFILL_LOOKED_AT_PER_TURN_MAX: usize = 1024;
/// How often updates start that are spread over time: often enough that none of these bursts keeps a
/// core for long, seldom enough that each has some updates.
pub const PACE_STEP: Duration = Duration::from_millis(10);
/// How long few updates wait at most for others, so that they begin together, where the write order has
/// held them back for a hundred times as long: 50,000 metrics that are held for a minute are some 80 a
/// core then, and some 500 where they came in a burst. Half a second gave no more.
pub const UPDATES_TOGETHER_WAIT_MAX: Duration = Duration::from_millis(200);
/// Largest METRIC_CLIENT_IDLE_TIMEOUT accepted: a year; who waits longer wants None.
pub const CLIENT_IDLE_SECONDS_MAX: u64 = 366 * 86_400;
/// Connections that a core looks at in a turn for those that have sent no point for too long: some
/// ten microseconds.
pub const IDLE_LOOKS_PER_TURN_MAX: usize = 64;
/// Largest TCP_KEEPIDLE and TCP_KEEPINTVL: the kernel's bound (MAX_TCP_KEEPIDLE).
pub const KEEPALIVE_SECONDS_MAX: u64 = 32_767;
/// Largest TCP_KEEPCNT: the kernel's bound (MAX_TCP_KEEPCNT).
pub const KEEPALIVE_PROBES_MAX: u64 = 127;
/// Largest CARBON_METRIC_INTERVAL accepted: a day.
pub const METRIC_INTERVAL_SECONDS_MAX: u64 = 86_400;
/// Longest CARBON_METRIC_PREFIX accepted: host, instance and counter still fit behind it.
pub const METRIC_PREFIX_BYTES_MAX: usize = 1024;
const _: () = assert!(METRIC_PREFIX_BYTES_MAX + 1024 < METRIC_NAME_BYTES_MAX);

/// Most instances of carbon.conf that one process answers for: eight to a machine is usual, and each has
/// ports, a directory to hold and metrics of its own.
pub const INSTANCES_MAX: usize = 64;
/// Most addresses that one listener may have in its INTERFACE: each is a socket of its own.
pub const INTERFACES_MAX: usize = 16;
/// Longest path of a Unix socket (`sun_path` of sockaddr_un is 108 bytes, the last of them zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Most shards in a process: shard numbers are `u16`, and no machine we know has more cores.
pub const SHARDS_MAX: usize = 1024;
/// Most archives in a Whisper header that we accept: Python has no bound, real files have 2 to 6.
pub const ARCHIVES_MAX: usize = 64;
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

/// The same for a pattern of whitelist.conf and blacklist.conf, a tenth of it: each name that is new
/// to a core is asked there, between its connections and its queries. Some 0.3 ms in one piece; a
/// pattern that repeats a look over the rest of the name takes twice that for each hundred bytes of it.
/// A pattern of two open ends needs so many at a name of 250 bytes, so that fewer would change verdicts.
pub const LIST_BACKTRACKS_MAX: usize = 10_000;
const _: () = assert!(LIST_BACKTRACKS_MAX <= PATTERN_BACKTRACKS_MAX);
/// Most patterns of one list. Each takes some microseconds of a start, some kilobytes, and, where it
/// says nothing that the name must hold, a tenth of a microsecond of every new name; sites have dozens.
pub const LIST_PATTERNS_MAX: usize = 10_000;
/// Bytes of a pattern's text that a new name is looked through for: few patterns have so many in
/// common, and so many texts at most can end at one byte of a name.
pub const LIST_LITERAL_BYTES_MAX: usize = 16;
/// Patterns that a new name is searched for between two looks at the clock: half a microsecond usually.
pub const LIST_PATTERNS_PER_LOOK: usize = 4;
/// Bytes of the names that a core remembers as refused by the lists: some 80,000; what it has
/// forgotten it judges again.
pub const REFUSED_NAMES_BYTES_MAX: usize = 8 << 20;
/// How often it is looked whether a configuration file has changed. A change is taken over once two
/// looks have found the same, so that no file is read while it is being written: after two seconds,
/// where Python carbon takes ten for lists and sixty for schemas.
pub const CONFIG_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest value in a configuration file once its `%(key)s` references are resolved: ten keys that
/// each name another ten times would otherwise fill the memory.
pub const INI_VALUE_BYTES_MAX: usize = 64 << 10;
/// Most keys that a reference in a configuration file may lead through: Python's MAX_INTERPOLATION_DEPTH.
pub const INI_REFERENCE_DEPTH_MAX: usize = 10;

/// Faults of one configuration file that are listed: whoever reads them mends some and looks again,
/// and a file that is something else altogether has one in every line.
pub const INI_FAULTS_MAX: usize = 100;

/// Existing files that a check of the configuration names: one knows by the first few what is meant,
/// and all are counted.
pub const CHECK_EXAMPLES_MAX: usize = 20;

/// How long a written point stays answerable, in seconds: longer than graphite-web takes from
/// reading the file to asking the cache.
pub const RECENT_S: u64 = 5;
/// How long what was written last of a series is kept for its next update to look for, in seconds:
/// ten minutes reach over the step of nearly all metrics. Twice MAX_POINT_AGE where that is more.
pub const LAST_S: u32 = 600;
/// As much of it, in series, as goes in one turn because its time is over: some 50 microseconds.
pub const LAST_LET_GO_PER_TURN_MAX: usize = 512;
/// The same beside each update, which leaves one more.
pub const LAST_LET_GO_PER_UPDATE_MAX: usize = 2;
/// Idle series that are forgotten in a turn, where bytes are short: some half a millisecond.
pub const FORGOTTEN_PER_TURN_MAX: u64 = 1024;
const _: () = assert!(RECENT_S < LAST_S as u64);

/// How far the timestamp of a point may be ahead of our clock, in seconds, for it to be one of now:
/// clocks that are kept by NTP are together by far less, and timestamps are whole seconds.
pub const CLOCK_AHEAD_S: u32 = 1;

/// Slowest rate of a budget that is not zero, per second: one in an hour.
pub const BUDGET_RATE_MIN: f64 = 1.0 / 3600.0;
/// Fastest rate of a budget, per second: no disk comes near, and the steps of its time are still fine enough.
pub const BUDGET_RATE_MAX: f64 = 100e6;
/// Longest burst of a budget, in seconds.
pub const BUDGET_BURST_S_MAX: f64 = 60.0;
/// Updates of one shard in flight: beyond this, more depth bought nothing on the disks measured
/// (design: 128 chains), and each holds a direct descriptor and its planned bytes.
pub const UPDATES_IN_FLIGHT_MAX: usize = 128;
/// Updates of a shard in flight however few files may be open, where each takes a descriptor (`sync`):
/// twice as many as there are threads for them on flash, so that none waits for the shard's next turn.
pub const UPDATES_IN_FLIGHT_LEAST: usize = 8;
const _: () = assert!(UPDATES_IN_FLIGHT_LEAST <= UPDATES_IN_FLIGHT_MAX);
/// Data directories at most (LOCAL_DATA_DIRS): more disks than a machine of this kind has, and a
/// number fits beside "nobody knows" in a byte, a set of them in 32 bits.
pub const VOLUMES_MAX: usize = 16;
const _: () = assert!(VOLUMES_MAX <= 32);
/// How often it is looked whether each of several data directories is where it was: for so long at most
/// a mount point without its disk is taken for an empty directory.
pub const DATA_DIR_LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a metric waits for a data directory that is away, or answers with errors, before it gets its
/// file in its own place without an answer: a mount that comes late at a boot, or one that is made anew,
/// is back sooner; for longer the share of points that wait would have to hold what all new metrics send.
pub const DATA_DIR_PATIENCE: Duration = Duration::from_secs(60);
const _: () = assert!(DATA_DIR_PATIENCE.as_millis() > DATA_DIR_LOOK_EVERY.as_millis());
/// Operations of a shard that may wait for one of several disks at once, by kind: as many threads are
/// had for each, so that a disk that answers late, or never, takes none of another's (a ring's workers
/// promise less: docs/decisions/0020). For flash, where they wait for one another more than for the disk.
pub const VOLUME_UPDATES_SSD: usize = 8;
/// The same for a disk with heads: what it can put in order.
pub const VOLUME_UPDATES_HDD: usize = 24;
/// Looks for files of one of several directories in flight, second files and locations included.
pub const VOLUME_PROBES: usize = 8;
/// Creates of one of several directories in flight.
pub const VOLUME_CREATES: usize = 8;
/// What may be in flight there beside updates: creates, and looks for files, and for where they lie or
/// whether there is a second one.
pub const VOLUME_OTHERS: usize = VOLUME_CREATES + 2 * VOLUME_PROBES;
/// New series that are given a directory to be looked for in, in a turn: a pattern or a hash each.
pub const PLACED_PER_TURN_MAX: usize = 1024;
/// Updates of a shard after which one file is looked for in another of several directories too, so that
/// one that is there twice is told: within some 64 updates of it.
pub const UPDATES_PER_SECOND_LOOK: u32 = 64;
/// Layouts of files that a shard remembers, to foresee what an update reads: more than a site has
/// schemas, and so few that a new one is looked for among all.
pub const LAYOUTS_MAX: usize = 64;
/// Archives of a file whose bases are remembered: usual files have up to three.
pub const BASES_REMEMBERED: usize = 3;
/// How far apart two stretches of a file may lie that are read by one request, in bytes: copying
/// what lies between costs less than a request more.
pub const READ_GAP_MAX: u64 = 1024;
/// Slots of a coarse archive that are read before those that will be written: one that is filled
/// shows that the archive's base is the one remembered. Four intervals may pass without a point.
pub const WITNESS_SLOTS: u32 = 4;
/// Slots of a coarse archive that are read in the same stretch as those; for more, its base is read.
pub const WITNESSED_SLOTS_MAX: u32 = 64;
/// Points, and stretches to read, that a planner keeps room for between two updates: more than a batch has
/// as a rule. What an update of more takes is given back.
pub const PLANNER_KEPT_MAX: usize = 1024;
/// Points that one update takes at most; what there are more are the next one's. Each costs some hundred
/// bytes and a few microseconds where it lies alone in its file, so that an update holds some megabytes
/// and a core a tenth of a second; a day of points six seconds apart fits.
pub const UPDATE_POINTS_MAX: u32 = 16_384;
/// Updates of a data directory that fail one after the other before the next begin `FAILED_REST` later: as
/// many as may be in flight.
pub const FAILED_TOGETHER_MAX: u32 = 128;
/// How long updates rest that failed so: some 500 a second find out whether their files are well again, and
/// a moment of seconds parks no more than these.
pub const FAILED_REST: Duration = Duration::from_millis(250);
/// Bytes of its file that an update of several points reads at once, beside two of each of its windows; past
/// it the next takes fewer points. Hourly ones into ten-second slots read 4 KB each, a year of them 37 MB.
pub const UPDATE_READ_BYTES_MAX: u64 = 1 << 20;
/// Reads of an update behind that of its open: none takes half of it (`whisper::NEED_ROUNDS_MAX`; where
/// points are late two and one an archive; one for a long header and one for a recent point).
pub const UPDATE_READS_MAX: u32 = 16;
/// A new file begins with its first points where these lie in so many first bytes: that page is
/// written out before the file has its name anyway, another would be a write more.
pub const FIRST_POINTS_END_MAX: u64 = 4096;
/// Creates of one shard in flight: each holds a plain descriptor and several operations.
pub const CREATES_IN_FLIGHT_MAX: usize = 32;
/// The same on a disk that is slow: a create waits in a kernel worker until its data is written, and
/// half of the workers stay for updates.
pub const CREATES_ON_SLOW_DISK_MAX: usize = 2;
const _: () = assert!(CREATES_ON_SLOW_DISK_MAX * 2 <= RING_WORKERS_MAX as usize);
/// A create that takes longer, behind all others in flight, tells of a slow disk: some 6 ms a write.
pub const CREATE_SLOW: Duration = Duration::from_millis(50);
/// One that takes less, beside one other, tells that the disk is fast again.
pub const CREATE_FAST: Duration = Duration::from_millis(5);
/// Probes of one shard in flight; they hold nothing but a path.
pub const PROBES_IN_FLIGHT_MAX: usize = 64;
/// Probes a second of one shard beyond twice what the budgets allow to be written: half a percent
/// of a core, and a thousand new series are known within a second, however slow the budgets are.
pub const PROBES_PER_S_MIN: f64 = 1000.0;
/// Looks at broken files of one shard in flight; a series that finds no room is looked at when it is
/// tried again.
pub const LOOKS_IN_FLIGHT_MAX: usize = 64;
/// Broken files of one shard that are remembered between two looks, 80 bytes each: a restore of a
/// large tree passes through as many; past it a file waits until others are done with.
pub const LOOKS_KEPT_MAX: usize = 65_536;
/// Part of the share of waiting and parked series (one in so many) that unproven ones hold at most
/// before their files are looked for without a pace.
pub const UNPROVEN_SHARE: u64 = 8;
/// Part of the same share (one in so many) that series which wait for their create, or whose file cannot be
/// made, leave to parked ones. A file that is locked for a moment, or met a want of descriptors, is sound,
/// and its points have a place to go to; names without a file fill whatever they may have. Of a cache of a
/// million points it is 62,500: those of a minute of a thousand files.
pub const PARKED_RESERVE: u64 = 4;
/// Part of what those two may have (one in so many) that series whose file cannot be made leave to those
/// that wait for a create, which will come: else a directory of another user, into which metrics are sent
/// for hours, takes all of it, and no new metric finds a place to wait in.
pub const WAITING_RESERVE: u64 = 3;
/// How often a stop tries a file that cannot be written, a second apart, before it gives its
/// points up and says so: long enough for a lock or a short shortage, short enough for systemd.
pub const DRAIN_ATTEMPTS_MAX: u32 = 10;

/// Points in one message between shards: one wake-up serves them all, and a message of them (4 KB, and at
/// most some 15 KB of new names) keeps a query behind it waiting for some ten microseconds.
pub const BATCH_POINTS_MAX: usize = 256;
/// Near the bound in bytes, routes looked at for each one that begins: among a flood of names sent
/// once, nearly each look finds one to give up; where a quarter are not used, they keep step.
pub const ROUTES_LOOKED_AT_PER_NEW: usize = 4;
/// Routes looked at in a turn while bytes are so short that reading stops: some ten microseconds.
pub const ROUTES_LOOKED_AT_PER_TURN_MAX: usize = 1024;
/// Names that are looked for together, and points handed over that are looked at together: each group
/// begins with waits for memory that nothing hides, and of new names as many are looked for in vain.
pub const WARMED_TOGETHER_MAX: usize = 32;
/// Messages that may wait in a core's inbox: no more than a core takes in a few milliseconds, as a
/// question waits behind all of them.
pub const INBOX_MESSAGES_MAX: usize = 64;
/// Messages for one other shard that a core keeps while that shard's inbox is full, before it
/// takes no more points for it.
pub const OUTBOX_MESSAGES_MAX: usize = 8;

/// Bytes of received lines and frames that a core works off in one turn, before it looks again at
/// what is urgent: queries, replies, files, its inbox. As much again of what stalled connections
/// hold. Some 600 lines, 60 microseconds; half as much cost a tenth more processor time a point.
pub const TURN_BYTES_MAX: usize = 32 << 10;
/// How long a core works off received lines and frames in one turn, and how long it takes points
/// out of its inbox, looked at behind each slice: new metrics cost ten times what known ones do.
pub const TURN_TIME_MAX: Duration = Duration::from_micros(100);
/// How long a core asks the lists for new names in one turn, give or take `LIST_PATTERNS_PER_LOOK`
/// patterns: as long as for all else that receivers bring.
pub const TURN_JUDGING_MAX: Duration = TURN_TIME_MAX;
/// Bytes of lines that are worked off between two looks at the clock: some 150 lines, 10 to 100 microseconds.
pub const TURN_SLICE_BYTES: usize = 8 << 10;
/// What a received buffer costs in a turn besides its bytes, in bytes: so that a turn of many small
/// ones is no longer than one of a large one.
pub const TURN_BYTES_PER_BUFFER: usize = 256;
/// Points of one connection's pickle that a core takes in one turn, once it is decoded.
pub const TURN_ITEMS_MAX: usize = 512;
/// What such a point costs in a turn at least, in bytes: no honest pickle has a point in less, but one
/// that names its items again has it in two.
pub const TURN_BYTES_PER_ITEM: usize = 40;
/// Points of other cores' receivers that a core takes out of its inbox in one turn, give or take
/// a message: more than the others read for it in a turn (they read some 600 lines each, for all
/// cores together), so that an inbox fills up only where one core owns most of what all receive.
/// By number a point takes some 40 ns.
pub const TURN_PARCEL_POINTS_MAX: usize = 1024;
/// What a question or a connection in the inbox counts in a turn, in points.
pub const TURN_POINTS_PER_PARCEL: usize = 32;
const _: () = assert!(TURN_PARCEL_POINTS_MAX >= BATCH_POINTS_MAX);

/// Bytes of unfinished lines and frames in the whole process: room for two of the largest frames;
/// past it the oldest silent connection is closed.
pub const UNFINISHED_BYTES_MAX: usize = 128 << 20;
const _: () = assert!(UNFINISHED_BYTES_MAX >= 2 * PICKLE_FRAME_BYTES_MAX);
/// Bytes of decoded frames whose items wait for room, or for their turn, in the whole process, give or
/// take a frame a core: a frame of two bytes an item takes twelve times as much decoded. Past it frames
/// wait as they came. Room for the frames of some 5,000 relays that send 500 points in each.
pub const DECODED_BYTES_MAX: usize = 128 << 20;
/// Bytes of lines and frames that wait, as they came, for room or for their turn, in the whole process,
/// give or take what one receive brings a core: past it a core on which any wait takes nothing further
/// from its senders, whose sockets keep it. Room for the full receive buffers of 500 senders: more would
/// only be memory, as reading on is quicker than what makes room.
pub const HELD_TOGETHER_BYTES_MAX: usize = 32 << 20;
const _: () = assert!(HELD_TOGETHER_BYTES_MAX >= 500 * RECEIVE_BUFFER_BYTES as usize);
const _: () = assert!(HELD_TOGETHER_BYTES_MAX >= 100 * HELD_BYTES_MAX);
/// Bytes of replies that clients have not read, and of what these have sent ahead, in the whole process,
/// give or take one a core: past it the connection whose reply has waited longest is closed.
pub const REPLIES_BYTES_MAX: usize = 256 << 20;
const _: () = assert!(REPLIES_BYTES_MAX >= 8 * QUERY_REPLY_BYTES_MAX);
/// Bytes that one connection may have sent ahead of a reply before it is read no more for a while.
pub const HELD_BYTES_MAX: usize = 256 << 10;
/// Bytes of one read at a stop; a datagram fits.
pub const LAST_READ_BYTES_MAX: usize = 64 << 10;
/// Bytes that a stop reads from one socket in all: more than both ends' kernels keep for it by default
/// (tcp_rmem: 6 MiB, tcp_wmem: 4 MiB), so that only a sender that goes on sending is cut off. Where the
/// cache is full and stays in the journal, this much of each goes beyond its bound; the kernel keeps far
/// less for all sockets together (tcp_mem: some tenth of the memory).
pub const LAST_READ_TOTAL_BYTES_MAX: usize = 12 << 20;
/// How long a stop looks again at a connection on which something came and nothing is: what its
/// sender's kernel still holds follows when there is room for it here, a round trip later.
pub const LAST_READ_SILENCE: Duration = Duration::from_millis(50);
/// How long a look at a connection waits for the one before.
pub const LAST_LOOK_EVERY: Duration = Duration::from_millis(10);
/// Looks of a stop that find nothing on a connection: a third of a second for one whose sender goes on
/// with a little now and then.
pub const LAST_LOOKS_MAX: u32 = 30;
/// Where as much has come since the last such look, it does not count.
pub const LAST_LOOK_BYTES_MIN: usize = 4 << 10;
/// How long a stop that leaves what is cached in the journal looks again at all of them together, while
/// it can read: after it a look that finds nothing is the last. A drain takes what it takes.
pub const LAST_LOOKS_TOGETHER_MAX: Duration = Duration::from_secs(1);
const _: () = assert!(
    LAST_LOOK_EVERY.as_millis() * (LAST_LOOKS_MAX as u128) < LAST_LOOKS_TOGETHER_MAX.as_millis()
);

/// Percent of MAX_CACHE_BYTES that the caches may count. The rest is for what they do not: pages of
/// the allocator that are partly used, tables while they grow, messages between cores. A flood of
/// 10 million names took 676 MB of memory where 519 MB were counted.
pub const COUNTED_PERCENT: u64 = 80;
/// Part of the cache's bound that points may have which wait for a create or a parked file (one
/// in so many): what waits for long must not take the room of what is written.
pub const WAITING_SHARE: u64 = 4;
/// Part of the cache's bound that written points may have which stay answerable for a while. Those
/// that wait for the next update of their series have as much again.
pub const RECENT_SHARE: u64 = 16;
/// Series that one step of a write order looks at, of which a turn takes one: a fifth of a
/// millisecond, as long as a message of points takes.
pub const SNAPSHOT_STEP_SERIES: usize = 4096;
/// Series that become due in the order of the disk in a turn: a heap takes each in a tenth of a microsecond.
pub const SWEEP_STEP_SERIES: usize = 4096;
/// Series that become due before their time in the order of the disk, where memory is short or a
/// stop drains: a pass over so many files of 41 KB each lies close enough, and no more than these are
/// written early where memory is no longer short.
pub const SWEEP_RUSHED_MAX: usize = 65_536;
/// Files up to this length are read whole where they are written in the order of the disk: a spindle
/// transfers them in less than a millisecond, and each further read of one costs a turn of 8.
pub const WHOLE_READ_BYTES: u64 = 64 << 10;
/// Updates of a shard after which a file is asked once more where it lies: those that were resized or
/// restored are found within some 64 holds, and an ioctl in so many updates costs nothing.
pub const UPDATES_PER_LOCATE: u32 = 64;
/// The largest burst of a limiter, in seconds' worth of its rate.
pub const BUDGET_BURST_S: f64 = 0.1;

/// Submission entries of a core's ring: an update is at most a handful, and what does not fit is
/// submitted in between.
pub const RING_ENTRIES: u32 = 1024;
/// Kernel workers of a core's ring: a few are best for warm files (design, table of write paths).
pub const RING_WORKERS_MAX: u32 = 4;
/// The same over a spinning disk: they wait in cold opens and reads, as many as a disk puts in order.
pub const RING_WORKERS_HDD: u32 = 32;
/// Most kernel workers that KERNEL_WORKERS may ask for: more than any disk takes side by side.
pub const KERNEL_WORKERS_MAX: u32 = 256;
/// Size of a receive buffer: the largest datagram fits, and one receive fetches some 1,200 lines.
/// Sizes from 32 to 256 KiB took the same system time a point, as far as a noisy machine could tell.
pub const RECEIVE_BUFFER_BYTES: u32 = 64 << 10;
/// Receive buffers of a core: what all its connections together can have received and not worked
/// on, besides what is held for stalled ones. 512 KiB stay in the cache of a core; 64 buffers held
/// 70 MB more in all where senders were stalled, and turns took milliseconds.
pub const RECEIVE_BUFFERS: u16 = 8;
/// Size of a receive buffer of query connections: the longest name fits; a long bulk request takes several.
pub const URGENT_BUFFER_BYTES: u32 = 4 << 10;
const _: () = assert!(URGENT_BUFFER_BYTES as usize > METRIC_NAME_BYTES_MAX);
/// Receive buffers of a core's query connections. They are apart from the receivers', which a flood
/// fills; those who find none wait for the next turn.
pub const URGENT_BUFFERS: u16 = 16;
/// Receive buffer that is asked for a UDP socket (the kernel grants up to net.core.rmem_max).
pub const UDP_SOCKET_BUFFER_BYTES: usize = 8 << 20;
/// A hard limit on open files below this is said at start: ten thousand senders beside who asks, and what some
/// twenty cores have open.
pub const OPEN_FILES_WANTED: u64 = 16 << 10;
const _: () = {
    let asking = OPEN_FILES_WANTED / ASKERS_PART;
    let of_core = OWN_OF_CORE + (CREATES_IN_FLIGHT_MAX * 2) as u64 + JOURNAL_VISITS_MAX as u64;
    assert!(OPEN_FILES_WANTED - asking >= 10_000 + OWN_OF_PROCESS + 20 * of_core);
};
/// Connections that ask have one in so many of the descriptors that the limit on open files allows, and what
/// senders may not have.
pub const ASKERS_PART: u64 = 8;
/// Descriptors that a core has beside its files: its rings and its waker take three.
pub const OWN_OF_CORE: u64 = 8;
/// Descriptors that the process has beside its cores and connections: some thirty are listeners, locks, logs
/// and the tag database.
pub const OWN_OF_PROCESS: u64 = 64;
/// Most descriptors that any process can have (fs.nr_open's own bound, a little more than that many):
/// the largest MAX_RECEIVER_CONNECTIONS other than inf.
pub const OPEN_FILES_MAX: u64 = 1 << 31;
/// Connections that may wait to be accepted: a relay restart brings hundreds at once.
pub const LISTEN_BACKLOG: i32 = 1024;

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
/// Most stretches in one read or write: who asks for more has lost count. Of each point that an update
/// writes, and writes again, every archive may have one by itself, or be read in two.
pub const FILE_PIECES_MAX: usize = 1 << 23;
const _: () = assert!(FILE_PIECES_MAX > UPDATE_POINTS_MAX as usize * 3 * 2 * (ARCHIVES_MAX + 1));
/// Most requests of one file operation in the kernel at once, linked or not.
pub const FILE_REQUESTS_TOGETHER_MAX: usize = 16;
const _: () = assert!(FILE_REQUESTS_TOGETHER_MAX * 4 <= RING_ENTRIES_MIN as usize);
/// Most creates in flight in one ring: each holds a descriptor and up to `ZERO_CHUNK_BYTES`.
pub const CREATES_TOGETHER_MAX: usize = 128;
const _: () = assert!(CREATES_IN_FLIGHT_MAX <= CREATES_TOGETHER_MAX);
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
/// Threads for files of a ring that has none of its own (`sync`), where its maker names no other number:
/// as many as a ring's kernel workers over flash. More only wait for the same cores there.
pub const FILE_THREADS: usize = 4;
const _: () = assert!(FILE_THREADS == RING_WORKERS_MAX as usize);
/// Threads for the files of a core's journal: a block of points and one of names are written while two
/// files are synced, and nobody waits for a fifth.
pub const JOURNAL_THREADS: usize = 4;
/// Most threads for files of one ring: as many as KERNEL_WORKERS may ask for, and with several data
/// directories each has its own share.
pub const FILE_THREADS_MAX: usize = 256;
const _: () = assert!(KERNEL_WORKERS_MAX as usize <= FILE_THREADS_MAX);
const _: () = assert!(FILE_THREADS <= FILE_THREADS_MAX);
/// Most file operations with the threads at once; others wait in the ring. All updates and creates
/// that a core has in flight fit.
pub const FILE_JOBS_OUT_MAX: usize = 1024;
const _: () = assert!(FILE_JOBS_OUT_MAX >= UPDATES_IN_FLIGHT_MAX + CREATES_IN_FLIGHT_MAX * 2);
/// Sockets that one wait of the poll driver tells to be ready; the others come with the next.
pub const POLL_EVENTS_MAX: usize = 256;
/// Connections that one turn of the poll driver accepts from a listener before others have theirs; and of
/// a core, where senders are bounded in number.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;
/// How long dropping a ring waits for a kernel that completes nothing more, in turns of 100 ms;
/// what it still holds then is never freed.
pub const DRAIN_TURNS_MAX: u32 = 50;

/// Devices on the way from a file system down to its disks that are looked at in one line: a
/// partition of a volume of an encrypted RAID of multipaths has six.
pub const DEVICE_CHAIN_DEPTH_MAX: usize = 16;
/// Devices below one file system that are looked at in all: the largest arrays have some hundred.
pub const DEVICE_CHAIN_LINKS_MAX: usize = 1024;
const _: () = assert!(DEVICE_CHAIN_DEPTH_MAX < DEVICE_CHAIN_LINKS_MAX);
/// Overlays whose upper directory lies on another one: the kernel itself stacks two.
pub const OVERLAYS_DEPTH_MAX: usize = 4;
/// Reads by which a virtual disk's word about rotation is tested.
pub const DEVICE_PROBE_READS: usize = 16;
/// With fewer nothing is said: one slow read may be a neighbour's.
pub const DEVICE_PROBE_READS_MIN: usize = 3;
const _: () = assert!(DEVICE_PROBE_READS_MIN <= DEVICE_PROBE_READS);
/// No further read begins after so long, unless there are too few: a start waits for it.
pub const DEVICE_PROBE_TIME_MAX: Duration = Duration::from_millis(250);
/// Directory entries that are looked at to find files for it.
pub const DEVICE_PROBE_ENTRIES_MAX: usize = 4096;
/// A disk whose reads take longer has heads: the quickest, of 15,000 turns a minute, needs 2 ms for
/// half a turn alone; flash takes 0.1 ms, and a disk behind a network some 1 ms.
pub const DEVICE_PROBE_SLOW: Duration = Duration::from_millis(2);
/// Requests that a disk may have answered between two looks at its counters; more are not its own
/// but another's of the same name. Ten million a second for an hour.
pub const DEVICE_REQUESTS_BETWEEN_LOOKS_MAX: u64 = 36_000_000_000;
/// What one read in a hundred may wait where READ_WAIT_MAX says nothing, in milliseconds: a graph of ten
/// targets, read one after the other, is there within a second. On a spinning disk it is ten times what
/// a read takes that is alone.
pub const READ_WAIT_HDD_MS: u32 = 100;
/// The same where no head moves: a hundred times what a read takes that is alone, and no more than a
/// person notices.
pub const READ_WAIT_SSD_MS: u32 = 20;
/// Largest READ_WAIT_MAX accepted: a reader who waits for a minute has gone.
pub const READ_WAIT_MS_MAX: u64 = 60_000;
const _: () = assert!(READ_WAIT_HDD_MS as u64 <= READ_WAIT_MS_MAX);
/// Stretches of time that a tuner looks back at: twenty seconds of quarters, and as many again where a
/// clock ticks early.
pub const TUNER_WINDOWS_MAX: usize = 160;
/// How often the disks' counters are looked at.
pub const TUNER_LOOK_EVERY: Duration = Duration::from_millis(250);
/// Series that are looked at in a turn for those that the write order passes over: four bytes of each,
/// some 30 us, and a million series in 62 turns.
pub const STARVED_LOOKED_AT_PER_TURN_MAX: u32 = 16_384;
/// Series that are known to be passed over and wait to be written: a few turns of updates.
pub const STARVED_SERIES_MAX: usize = 4096;
/// Announcements of series that wait, new ones and repeated ones each, until whoever posts them takes
/// them over: he waits for graphite-web for up to 5 s, in which a fast disk makes some 16,000 files.
pub const ANNOUNCEMENTS_QUEUED_MAX: usize = 1 << 14;
/// Largest TAG_UPDATE_INTERVAL accepted: with an update a minute that is six weeks.
pub const TAG_UPDATE_INTERVAL_MAX: u64 = 60_000;
/// Largest TAG_BATCH_SIZE accepted: graphite-web's Django takes 1,000 fields unless told otherwise, and
/// more than ten thousand tagged series take it longer than the 5 s that it is waited for.
pub const TAG_BATCH_MAX: usize = 10_000;
/// Largest TAG_QUEUE_SIZE accepted: a million names are some 150 MB.
pub const TAG_QUEUE_MAX: usize = 1_000_000;
/// How long graphite-web is waited for, as Python carbon does.
pub const TAG_POST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause before a post that failed is tried again.
pub const TAG_RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often a series may be refused by itself, others being taken in between, before it is given up.
pub const TAG_REFUSALS_MAX: u8 = 3;
/// How long a stop waits for graphite-web to take what is queued: a start's worth of batches, and not
/// so long that a service manager loses patience.
pub const TAG_LAST_WORDS: Duration = Duration::from_secs(3);
/// Bytes of graphite-web's answer that are read, for the log.
pub const TAG_ANSWER_BYTES_MAX: u64 = 4096;
/// How much longer a stop that writes everything out may take, each time that it is seen to have come
/// nearer to its end: what a disk takes that answers at all.
pub const STOP_EXTENDED_BY: Duration = Duration::from_secs(30);
/// Lines on their way to the log files, in all. Written every 20 ms that is 800,000 a second, more than
/// there are updates; of 100 bytes each they take 1.6 MB.
pub const LOG_QUEUE_LINES_MAX: usize = 16_384;
/// Characters of a refused line that listener.log quotes, as with Python; escaped they take ten times
/// that, and of each reason there is one a minute.
pub const REFUSED_CHARS_SAID_MAX: usize = 400;
/// Lines that were said before there were log files, and go into them then: a start says some twenty.
pub const LOG_EARLY_LINES_MAX: usize = 256;
/// Longest time that a histogram of latencies tells apart: what takes longer has stopped.
pub const LATENCY_MAX: Duration = Duration::from_secs(3600);
/// Largest MAX_QUEUE_SIZE accepted of a relay: ten million points are a gigabyte.
pub const RELAY_QUEUE_POINTS_MAX: usize = 10_000_000;
/// Largest MAX_DATAPOINTS_PER_MESSAGE accepted: a receiver takes a frame of a megabyte, unless told
/// otherwise, which is ten thousand points of 100 bytes.
pub const RELAY_MESSAGE_POINTS_MAX: usize = 10_000;
/// Largest REPLICATION_FACTOR accepted: more copies than anybody has carbons.
pub const RELAY_REPLICAS_MAX: u64 = 1000;
/// How long a relay waits for a connection.
pub const RELAY_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a relay waits for a frame to be taken: a carbon under flow control reads on within seconds,
/// and one that does not is better asked anew.
pub const RELAY_SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stop waits for the destinations of a relay to take what is queued: that of a minute in
/// which one was away is a frame or two, and the rest is as with TAG_LAST_WORDS.
pub const RELAY_LAST_WORDS: Duration = Duration::from_secs(3);
/// Longest pause before a relay connects again, as Python carbon's.
pub const RELAY_RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
