//! The room for cached points and bytes: one bound for all shards of the process.
//! A core reserves room for points before it accepts them, so that MAX_CACHE_SIZE is exact however
//! many cores receive; room is given back when a point is superseded, written or dropped. Bytes are
//! published by the shards as they change: a soft bound, passed by what is on its way.
//! Who finds no room stops reading until both are below the low mark, and nobody finds any before:
//! `is_full` says so, one load that any core can afford before each read.
//! Invariant: `is_full` never outlasts both being below the low mark, whatever the interleaving.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Reading goes on below 95 % of the bound, as Python resumes its receivers.
const LOW_MARK_PERCENT: u64 = 95;

/// The bound on cached points and bytes, shared by all cores.
#[derive(Debug)]
pub struct Room {
    points: AtomicU64,
    points_max: u64,
    bytes: AtomicI64,
    bytes_max: i64,
    is_full: AtomicBool,
    /// Whoever finds no room waits for the low mark.
    has_low_mark: bool,
    /// Points of these that a drain leaves to the journal.
    left: AtomicU64,
}

impl Room {
    /// Room for so many points (None: no bound, MAX_CACHE_SIZE = inf) and bytes.
    pub fn new(points_max: Option<u64>, bytes_max: u64) -> Self {
        assert!(points_max != Some(0), "no room for a single point");
        assert!(bytes_max > 0, "no room for a single byte");
        Self {
            points: AtomicU64::new(0),
            points_max: points_max.unwrap_or(u64::MAX),
            bytes: AtomicI64::new(0),
            bytes_max: i64::try_from(bytes_max).unwrap_or(i64::MAX),
            is_full: AtomicBool::new(false),
            has_low_mark: true,
            left: AtomicU64::new(0),
        }
    }

    /// The same where nobody waits and what finds no room is dropped: each place that becomes free is
    /// used at once.
    #[must_use]
    pub fn without_low_mark(self) -> Self {
        Self {
            has_low_mark: false,
            ..self
        }
    }

    /// Reserves room for up to `wanted` points. Says for how many; fewer than wanted means that
    /// the cache is full now. Once it is, there is none for anybody until both are below the low mark:
    /// who comes anew would else take each place that becomes free before those that wait.
    pub fn take(&self, wanted: u32) -> u32 {
        if self.is_closed() {
            return 0;
        }
        self.take_places(wanted)
    }

    /// The same for points of earlier runs where nothing else is left to be written, also where bytes alone
    /// are between the low mark and the bound: what is remembered until all of them are back may be what
    /// keeps them there.
    pub fn take_returning(&self, wanted: u32) -> u32 {
        if self.is_closed() && !self.has_points_low() {
            return 0;
        }
        self.take_places(wanted)
    }

    fn take_places(&self, wanted: u32) -> u32 {
        let mut granted = 0;
        if self.bytes() < self.bytes_max {
            let mut points = self.points();
            loop {
                let left = self.points_max.saturating_sub(points);
                granted = u32::try_from(left).unwrap_or(u32::MAX).min(wanted);
                // Where nobody waits, each point comes here that is dropped: it costs looks alone.
                if granted == 0 {
                    break;
                }
                match self.points.compare_exchange_weak(
                    points,
                    points + u64::from(granted),
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                ) {
                    Ok(_) => break,
                    Err(other) => points = other,
                }
            }
        }
        if granted < wanted {
            self.note_full();
        }
        granted
    }

    /// Reserves room for one point.
    pub fn try_take(&self) -> bool {
        self.take(1) == 1
    }

    /// Reserves room for points that are accepted already, whether there is room or not: those
    /// replayed after a crash.
    pub fn take_anyway(&self, points: u64) {
        let before = self.points.fetch_add(points, Ordering::SeqCst);
        if before.saturating_add(points) >= self.points_max {
            self.note_full();
        }
    }

    /// Gives back the room of points that left the cache.
    pub fn give(&self, points: u64) {
        let before = self.points.fetch_sub(points, Ordering::SeqCst);
        assert!(
            before >= points,
            "room for {points} is given back of {before}"
        );
        self.note_room();
    }

    /// A shard's drain leaves so many of its points to the journal, and not as many as before any more.
    pub fn note_left(&self, before: u64, now: u64) {
        // One step, so that nobody sees the one without the other.
        self.left
            .fetch_add(now.wrapping_sub(before), Ordering::SeqCst);
    }

    /// Is nothing here but what is left to the journal?
    pub fn is_all_left(&self) -> bool {
        self.points() == self.left.load(Ordering::SeqCst)
    }

    /// A shard's cache holds so many bytes more, or fewer.
    pub fn add_bytes(&self, change: i64) {
        let bytes = self.bytes.fetch_add(change, Ordering::SeqCst) + change;
        assert!(bytes >= 0, "the shards hold {bytes} bytes");
        if bytes >= self.bytes_max {
            self.note_full();
        } else if change < 0 {
            self.note_room();
        }
    }

    /// Should nothing be read now? True from the moment there was no room until points and bytes
    /// are below the low mark; where there is no such mark, as long as there is none.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed) && (self.has_low_mark || !self.has_place())
    }

    fn has_place(&self) -> bool {
        self.points() < self.points_max && self.bytes() < self.bytes_max
    }

    /// Is there room for nobody until the low mark, though there may be places?
    pub fn is_closed(&self) -> bool {
        self.has_low_mark && self.is_full()
    }

    /// Are points and bytes below the low mark?
    pub fn has_room(&self) -> bool {
        let bytes_low = low_mark(self.bytes_max.unsigned_abs());
        self.has_points_low() && self.bytes().unsigned_abs() < bytes_low
    }

    fn has_points_low(&self) -> bool {
        let points_low = match self.points_max {
            u64::MAX => u64::MAX,
            max => low_mark(max),
        };
        self.points() < points_low
    }

    /// Are the bytes within a tenth of their bound? Then what nobody needs is to be forgotten, before
    /// reading has to stop.
    pub fn is_near_full(&self) -> bool {
        self.bytes() > self.bytes_max / 10 * 9
    }

    /// Are points or bytes within a tenth of their bound? Then what is held back is to be written,
    /// before reading has to stop.
    pub fn is_pressed(&self) -> bool {
        self.is_near_full() || self.points() > self.points_max / 10 * 9
    }

    /// Are the bytes above the low mark, where reading goes on once it has stopped?
    pub fn is_short_of_bytes(&self) -> bool {
        self.bytes().unsigned_abs() >= low_mark(self.bytes_max.unsigned_abs())
    }

    /// Points for which room is reserved.
    pub fn points(&self) -> u64 {
        self.points.load(Ordering::SeqCst)
    }

    /// Bytes that the shards hold.
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// The mark first, then the look: whoever gives room back meanwhile either is seen here or sees
    /// the mark (all of it sequentially consistent), so that it cannot stay without reason.
    fn note_full(&self) {
        if !self.is_full.load(Ordering::SeqCst) {
            self.is_full.store(true, Ordering::SeqCst);
        }
        self.note_room();
    }

    fn note_room(&self) {
        if self.is_full.load(Ordering::SeqCst) && self.has_room() {
            self.is_full.store(false, Ordering::SeqCst);
        }
    }
}

/// At least one, so that an empty cache is always below it.
fn low_mark(max: u64) -> u64 {
    let low = u128::from(max) * u128::from(LOW_MARK_PERCENT) / 100;
    u64::try_from(low).unwrap_or(max).max(1)
}
