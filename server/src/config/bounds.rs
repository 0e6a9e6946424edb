//! What options accept: the bounds of their values, and the words that some of them may name. Apart from
//! the table only because that is long.
//! Each bound is one of `engine::limits`, with its reasons for the operator; nothing is decided here.

use benzene_engine::limits::{
    CACHE_BYTES_MAX, CACHE_BYTES_MIN, CACHE_POINTS_MAX, CLIENT_IDLE_SECONDS_MAX,
    CREATES_PER_MINUTE_MAX, JOURNAL_BYTES_MAX, JOURNAL_COMMIT_MS_MAX, JOURNAL_SEGMENT_BYTES_MAX,
    JOURNAL_SEGMENT_BYTES_MIN, JOURNAL_SYNC_MS_MAX, KEEPALIVE_PROBES_MAX, KEEPALIVE_SECONDS_MAX,
    KERNEL_WORKERS_MAX, METRIC_INTERVAL_SECONDS_MAX, OPEN_FILES_MAX, PICKLE_FRAME_BYTES_MAX,
    PICKLE_FRAME_BYTES_MIN, POINT_AGE_SECONDS_MAX, POINT_AGE_SECONDS_MIN, READ_WAIT_MS_MAX,
    RELAY_MESSAGE_POINTS_MAX, RELAY_QUEUE_POINTS_MAX, RELAY_REPLICAS_MAX, SHARDS_MAX,
    TAG_BATCH_MAX, TAG_QUEUE_MAX, TAG_UPDATE_INTERVAL_MAX, TIMESTAMP_LAG_SECONDS_MAX,
    TIMESTAMP_RESOLUTION_SECONDS_MAX, UPDATES_IN_FLIGHT_MAX, UPDATES_PER_SECOND_MAX,
};

use super::value::{Bound, Kind};

/// Write orders that CACHE_WRITE_STRATEGY may name.
pub(super) const STRATEGIES: &[&str] = &[
    "sorted",
    "timesorted",
    "max",
    "bucketmax",
    "naive",
    "random",
    "deadline",
];
/// The write order of Python carbon, also for a name that it does not know.
pub(super) const STRATEGY_OF_PYTHON: &str = "sorted";
/// The write order where carbon.conf names none.
pub(super) const STRATEGY_DEFAULT: &str = "deadline";
/// Ways to the sockets that RING_DRIVER may name.
pub(super) const DRIVERS: &[&str] = &["auto", "uring", "poll"];
/// Ways to the files that WRITER_BACKEND may name.
pub(super) const BACKENDS: &[&str] = &["auto", "uring", "sync"];
/// What DEVICE_CLASS may name.
pub(super) const CLASSES: &[&str] = &["auto", "hdd", "ssd"];
/// What LOG_LEVEL may name.
pub(super) const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
/// What DISK_ORDER may name.
pub(super) const DISK_ORDERS: &[&str] = &["auto", "on", "off"];
/// What JOURNAL_ON_ERROR may name.
pub(super) const ON_ERROR: &[&str] = &["continue", "stop"];
/// What SHUTDOWN may name.
pub(super) const SHUTDOWNS: &[&str] = &["auto", "journal", "drain"];

/// Why a number is not negative.
const NO_DEBT: &str = "there is no less than none";

pub(super) const PORT: Kind = Kind::Integer(Bound {
    min: 0,
    max: 65_535,
    less: NO_DEBT,
    more: "ports are 16 bits wide",
});

pub(super) const ANY_INTEGER: Kind = Kind::Integer(Bound {
    min: 0,
    max: u64::MAX,
    less: NO_DEBT,
    more: "it is kept in 64 bits",
});

pub(super) const SENDERS: Kind = Kind::Limit(Bound {
    min: 1,
    max: OPEN_FILES_MAX,
    less: "with none nothing is received",
    more: "no process has more descriptors (inf is no limit)",
});

pub(super) const CLIENT_IDLE: Kind = Kind::Integer(Bound {
    min: 1,
    max: CLIENT_IDLE_SECONDS_MAX,
    less: "a connection needs some time to send (None is for ever)",
    more: "who waits for a year wants None",
});

pub(super) const KEEPALIVE_TIME: Kind = Kind::Integer(Bound {
    min: 1,
    max: KEEPALIVE_SECONDS_MAX,
    less: "the kernel takes no less",
    more: "the kernel takes no more",
});

pub(super) const KEEPALIVE_PROBES: Kind = Kind::Integer(Bound {
    min: 1,
    max: KEEPALIVE_PROBES_MAX,
    less: "the kernel takes no less",
    more: "the kernel takes no more",
});

pub(super) const UPDATES: Kind = Kind::Rate {
    bound: Bound {
        min: 0,
        max: UPDATES_PER_SECOND_MAX,
        less: NO_DEBT,
        more: "more than any device does (inf is no limit)",
    },
    none: false,
};

pub(super) const CREATES: Kind = Kind::Rate {
    bound: Bound {
        min: 0,
        max: CREATES_PER_MINUTE_MAX,
        less: NO_DEBT,
        more: "more than any file system does (inf is no limit)",
    },
    none: true,
};

pub(super) const IN_FLIGHT: Kind = Kind::Integer(Bound {
    min: 1,
    max: UPDATES_IN_FLIGHT_MAX as u64,
    less: "with none nothing is written",
    more: "more depth bought nothing on any disk that was measured",
});

pub(super) const WORKERS: Kind = Kind::Integer(Bound {
    min: 1,
    max: KERNEL_WORKERS_MAX as u64,
    less: "with none nothing is written",
    more: "more than any disk does side by side",
});

pub(super) const READ_WAIT: Kind = Kind::Time {
    bound: Bound {
        min: 1,
        max: READ_WAIT_MS_MAX,
        less: "no disk reads in less",
        more: "a reader who waits longer has gone",
    },
    words: &[],
};

pub(super) const CACHE_POINTS: Kind = Kind::Limit(Bound {
    min: 1,
    max: CACHE_POINTS_MAX,
    less: "with none nothing is received (inf is no limit)",
    more: "more than any machine's memory holds (inf is no limit)",
});

pub(super) const CACHE_BYTES: Kind = Kind::Bytes(Bound {
    min: CACHE_BYTES_MIN,
    max: CACHE_BYTES_MAX,
    less: "with less the table of names has no room",
    more: "no machine has more",
});

pub(super) const PICKLE_FRAME: Kind = Kind::Integer(Bound {
    min: PICKLE_FRAME_BYTES_MIN as u64,
    max: PICKLE_FRAME_BYTES_MAX as u64,
    less: "a frame holds at least one point",
    more: "a frame is held in memory whole",
});

pub(super) const INTERVAL: Kind = Kind::Integer(Bound {
    min: 0,
    max: METRIC_INTERVAL_SECONDS_MAX,
    less: "0 turns them off",
    more: "own metrics rarer than once a day say nothing (0 turns them off)",
});

pub(super) const SHARDS: Kind = Kind::Integer(Bound {
    min: 1,
    max: SHARDS_MAX as u64,
    less: "with none nothing is done",
    more: "shard numbers are small and no machine has more cores",
});

pub(super) const TAG_INTERVAL: Kind = Kind::Integer(Bound {
    min: 1,
    max: TAG_UPDATE_INTERVAL_MAX,
    less: "1 announces a series with every update",
    more: "with an update a minute that is six weeks",
});

pub(super) const TAG_BATCH: Kind = Kind::Integer(Bound {
    min: 1,
    max: TAG_BATCH_MAX as u64,
    less: "an announcement has one series at least",
    more: "graphite-web takes no more within the 5 s that it is waited for",
});

pub(super) const TAG_QUEUE: Kind = Kind::Integer(Bound {
    min: 0,
    max: TAG_QUEUE_MAX as u64,
    less: "0 is as many as can be",
    more: "a million names take 150 MB (0 is as many as that)",
});

pub(super) const REPLICAS: Kind = Kind::Loose(Bound {
    min: 1,
    max: RELAY_REPLICAS_MAX,
    less: "with none nothing is sent",
    more: "more copies than anybody has carbons",
});

pub(super) const RELAY_QUEUE: Kind = Kind::Loose(Bound {
    min: 1,
    max: RELAY_QUEUE_POINTS_MAX as u64,
    less: "with none nothing is sent",
    more: "ten million points are a gigabyte",
});

pub(super) const RELAY_MESSAGE: Kind = Kind::Loose(Bound {
    min: 1,
    max: RELAY_MESSAGE_POINTS_MAX as u64,
    less: "with none nothing is sent",
    more: "a longer frame is more than a receiver takes",
});

pub(super) const JOURNAL_COMMIT: Kind = Kind::Time {
    bound: Bound {
        min: 1,
        max: JOURNAL_COMMIT_MS_MAX,
        less: "less costs a write for every few points",
        more: "a killed process loses that much",
    },
    words: &[],
};

pub(super) const JOURNAL_SYNC: Kind = Kind::Time {
    bound: Bound {
        min: 1,
        max: JOURNAL_SYNC_MS_MAX,
        less: "no disk syncs in less (always waits for each sync)",
        more: "a power cut loses that much (never leaves it to the kernel)",
    },
    words: &["always", "never"],
};

pub(super) const JOURNAL_BYTES: Kind = Kind::Bytes(Bound {
    min: JOURNAL_SEGMENT_BYTES_MIN as u64,
    max: JOURNAL_BYTES_MAX,
    less: "a journal has segments, and one holds a few blocks",
    more: "one that large takes hours to read",
});

pub(super) const JOURNAL_SEGMENT: Kind = Kind::Bytes(Bound {
    min: JOURNAL_SEGMENT_BYTES_MIN as u64,
    max: JOURNAL_SEGMENT_BYTES_MAX as u64,
    less: "it holds a few blocks at least",
    more: "places in it have 32 bits",
});

pub(super) const RESOLUTION: Kind = Kind::Integer(Bound {
    min: 0,
    max: TIMESTAMP_RESOLUTION_SECONDS_MAX,
    less: NO_DEBT,
    more: "a point moved by more than a day is no measurement",
});

pub(super) const LAG: Kind = Kind::Integer(Bound {
    min: 0,
    max: TIMESTAMP_LAG_SECONDS_MAX,
    less: NO_DEBT,
    more: "points held for more than a day may outlive their first archive",
});

pub(super) const POINT_AGE: Kind = Kind::Integer(Bound {
    min: POINT_AGE_SECONDS_MIN,
    max: POINT_AGE_SECONDS_MAX,
    less: "ages are whole seconds",
    more: "points held for more than a day may outlive their first archive",
});
