//! Bounds of options about ages, the journal and other programs: graphite-web's tag index, and carbons
//! that are relayed to. Apart from the table only because that is long.
//! Each bound is one of `engine::limits`, with its reason for the operator; nothing is decided here.

use benzene_engine::limits::{
    JOURNAL_BYTES_MAX, JOURNAL_COMMIT_MS_MAX, JOURNAL_SEGMENT_BYTES_MAX, JOURNAL_SEGMENT_BYTES_MIN,
    JOURNAL_SYNC_MS_MAX, POINT_AGE_SECONDS_MAX, POINT_AGE_SECONDS_MIN, RELAY_MESSAGE_POINTS_MAX,
    RELAY_QUEUE_POINTS_MAX, RELAY_REPLICAS_MAX, TAG_BATCH_MAX, TAG_QUEUE_MAX,
    TAG_UPDATE_INTERVAL_MAX, TIMESTAMP_LAG_SECONDS_MAX, TIMESTAMP_RESOLUTION_SECONDS_MAX,
};

use super::value::{Bound, Kind};

pub(super) const TAG_INTERVAL: Kind = Kind::Integer(Bound {
    min: 1,
    max: TAG_UPDATE_INTERVAL_MAX,
    why: "with an update a minute that is six weeks",
});

pub(super) const TAG_BATCH: Kind = Kind::Integer(Bound {
    min: 1,
    max: TAG_BATCH_MAX as u64,
    why: "graphite-web takes no more within the 5 s that it is waited for",
});

pub(super) const TAG_QUEUE: Kind = Kind::Integer(Bound {
    min: 0,
    max: TAG_QUEUE_MAX as u64,
    why: "a million names take 150 MB (0 is as many as that)",
});

pub(super) const REPLICAS: Kind = Kind::Integer(Bound {
    min: 1,
    max: RELAY_REPLICAS_MAX,
    why: "more copies than anybody has carbons",
});

pub(super) const RELAY_QUEUE: Kind = Kind::Integer(Bound {
    min: 1,
    max: RELAY_QUEUE_POINTS_MAX as u64,
    why: "ten million points are a gigabyte",
});

pub(super) const RELAY_MESSAGE: Kind = Kind::Integer(Bound {
    min: 1,
    max: RELAY_MESSAGE_POINTS_MAX as u64,
    why: "a longer frame is more than a receiver takes",
});

pub(super) const JOURNAL_COMMIT: Kind = Kind::Time {
    bound: Bound {
        min: 1,
        max: JOURNAL_COMMIT_MS_MAX,
        why: "a killed process loses that much, and less costs a write for every few points",
    },
    words: &[],
};

pub(super) const JOURNAL_SYNC: Kind = Kind::Time {
    bound: Bound {
        min: 1,
        max: JOURNAL_SYNC_MS_MAX,
        why: "a power cut loses that much (never leaves it to the kernel)",
    },
    words: &["always", "never"],
};

pub(super) const JOURNAL_BYTES: Kind = Kind::Bytes(Bound {
    min: JOURNAL_SEGMENT_BYTES_MIN as u64,
    max: JOURNAL_BYTES_MAX,
    why: "a journal has segments, and one that large takes hours to read",
});

pub(super) const JOURNAL_SEGMENT: Kind = Kind::Bytes(Bound {
    min: JOURNAL_SEGMENT_BYTES_MIN as u64,
    max: JOURNAL_SEGMENT_BYTES_MAX as u64,
    why: "it holds a few blocks at least, and places in it have 32 bits",
});

pub(super) const RESOLUTION: Kind = Kind::Integer(Bound {
    min: 0,
    max: TIMESTAMP_RESOLUTION_SECONDS_MAX,
    why: "a point moved by more than a day is no measurement",
});

pub(super) const LAG: Kind = Kind::Integer(Bound {
    min: 0,
    max: TIMESTAMP_LAG_SECONDS_MAX,
    why: "points held for more than a day may outlive their first archive",
});

pub(super) const POINT_AGE: Kind = Kind::Integer(Bound {
    min: POINT_AGE_SECONDS_MIN,
    max: POINT_AGE_SECONDS_MAX,
    why: "ages are whole seconds, and points held for more than a day may outlive their first archive",
});
