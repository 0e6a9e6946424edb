//! New files: which series gets one next, and what it is made of.
//! A create starts when the shared budget grants it (MAX_CREATES_PER_MINUTE); a series that is not
//! granted one waits in the cache, within the share of those that wait, and is never dropped for it; but
//! where none is granted at all, a stop does not wait for it either.
//! Which directories are there the kernel remembers: a create opens its directory first, and makes
//! what is missing only when that fails (`ring::create`), so that a tree that somebody removes is
//! made again.
//! A new file begins with its first points where these lie in its first page and an update of them
//! is granted (MAX_UPDATES_PER_SECOND) that nobody else waits for: the file is then not opened again for
//! them, and the page that was just written out is not dirtied a second time.
//! On a slow disk few creates are in flight, so that updates find a kernel worker.
//! Invariants: no more creates in flight than `limits::CREATES_IN_FLIGHT_MAX`; a grant is used or
//! given back, also where no file comes of it (`unused`), so that metrics whose files cannot be made hold
//! no others up; a header that cannot be made parks the series.

use std::time::{Duration, Instant};

use super::faults::Fault;
use super::jobs::Job;
use super::{Budgets, Site, Told, WAIT_MIN, Writer, clamped};
use crate::cache::{Ledger, SeriesId, Standing, Volume};
use crate::clock::Now;
use crate::latency::Latency;
use crate::limits::{
    CREATE_FAST, CREATE_SLOW, CREATES_IN_FLIGHT_MAX, CREATES_ON_SLOW_DISK_MAX, FIRST_POINTS_END_MAX,
};
use crate::point::Point;
use crate::ring::{ByteRange, FileError, FileOperation, Stage};
use crate::stats::Counter;
use crate::whisper::{Aggregation, Header, Image, Outcome, Plan, plan};

/// xFilesFactor of a new file where storage-aggregation.conf gives none (whisper's default).
const X_FILES_FACTOR_DEFAULT: f32 = 0.5;

/// How many creates the disk bears beside updates, by what the last one took. A create occupies one
/// of the few kernel workers of its ring until the disk has its data, which may take seconds; what
/// is in flight beyond the workers only waits in the kernel's queue, in front of updates.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    is_slow: bool,
}

impl Pressure {
    /// A create took so long.
    pub(super) fn took(&mut self, time: Duration) {
        self.is_slow = time
            > if self.is_slow {
                CREATE_FAST
            } else {
                CREATE_SLOW
            };
    }

    /// Creates that may be in flight.
    pub(super) fn creates_max(&self) -> usize {
        if self.is_slow {
            CREATES_ON_SLOW_DISK_MAX
        } else {
            CREATES_IN_FLIGHT_MAX
        }
    }
}

/// A file that is being made.
#[derive(Debug)]
pub(super) struct Create {
    pub(super) series: SeriesId,
    pub(super) since: Instant,
    /// In flight with the file; none where they are written later.
    firsts: Option<Box<Firsts>>,
}

/// The first points of a series, on their way into its new file.
#[derive(Debug)]
struct Firsts {
    header: Header,
    /// The header and what follows of the first archive.
    head: Vec<u8>,
    points: usize,
    outcome: Outcome,
}

impl Firsts {
    /// A new file's first bytes with these points in them; none where they do not lie in its first
    /// page, as where a coarser archive takes some.
    fn new(header: &Header, points: &[Point], now: u32) -> Option<Self> {
        let Ok(Plan::Write { pieces, outcome }) = plan(header, points, now, &Image::of_new(header))
        else {
            return None;
        };
        let mut head = header.encode();
        for piece in pieces {
            let end = piece.offset + piece.bytes.len() as u64;
            if end > FIRST_POINTS_END_MAX {
                return None;
            }
            let (from, end) = (
                usize::try_from(piece.offset).ok()?,
                usize::try_from(end).ok()?,
            );
            head.resize(end.max(head.len()), 0);
            head[from..end].copy_from_slice(&piece.bytes);
        }
        Some(Self {
            header: header.clone(),
            head,
            points: points.len(),
            outcome,
        })
    }
}

impl Writer {
    /// A series whose file is missing is created at once where the limit allows it; only where it
    /// does not, the series waits, and its points come under the share of those that wait. One that no
    /// limit holds up, but the creates in flight, stays missing until they leave a place.
    pub(super) fn start_creates(
        &mut self,
        ledger: &mut Ledger,
        (volume, budgets): Site<'_>,
        now: Now,
    ) {
        if self.draining && budgets.creates.grants_nothing() {
            return self.give_up_creates(ledger, volume);
        }
        // Where nothing is limited there is no grant that others could miss.
        let rests =
            self.lanes.of(volume).unused.rests(now.instant) && budgets.creates.rate().is_some();
        while !rests
            && self.may_create(volume)
            && !ledger.has_waiting(volume)
            && ledger.has_missing(volume)
            && budgets.creates.grant(1, now.instant) == 1
        {
            let Some(series) = ledger.missing_next(volume) else {
                unreachable!("seen above")
            };
            self.begin_create(ledger, budgets, series, now);
        }
        if !rests && self.may_create(volume) {
            while let Some(series) = ledger.missing_next(volume) {
                ledger.set_standing(series, Standing::Waiting);
            }
        }
        while !rests && self.may_create(volume) && ledger.has_waiting(volume) {
            if budgets.creates.grant(1, now.instant) == 0 {
                return;
            }
            let Some(series) = ledger.waiting_next(volume) else {
                budgets.creates.refund(1);
                return;
            };
            self.begin_create(ledger, budgets, series, now);
        }
    }

    /// At a stop nobody waits for files that are never made.
    fn give_up_creates(&mut self, ledger: &mut Ledger, volume: Volume) {
        while let Some(series) = ledger.missing_next(volume) {
            self.give_up_create(ledger, series);
        }
        while let Some(series) = ledger.waiting_next(volume) {
            self.give_up_create(ledger, series);
        }
    }

    /// The points of a series are dropped and counted. One whose file was there, or could not be looked
    /// for, is left to a journal that has them: the disk may only not be mounted. So is what came back from
    /// there: an earlier stop may have left it for that.
    fn give_up_create(&mut self, ledger: &mut Ledger, series: SeriesId) {
        let may_be_there = self.parked.has_failed(series) || ledger.is_late(series);
        if !ledger.is_noted() || !may_be_there {
            return ledger.discard(series, Counter::DroppedCreateWait);
        }
        self.parked.succeeded(series);
        ledger.set_standing(series, Standing::Unmade);
        self.parked.leave(series);
    }

    /// When a waiting series can be granted its file; none while as many as may be are in flight.
    pub(super) fn creates_due(
        &self,
        ledger: &Ledger,
        (volume, budgets): Site<'_>,
        now: Now,
    ) -> Option<Instant> {
        let soonest = now.instant + WAIT_MIN;
        let lane = self.lanes.of(volume);
        let has_unused = lane.unused.has_creates();
        // Those found missing while creates rest have not been offered a grant.
        let any_waits = ledger.has_waiting(volume) || ledger.has_missing(volume);
        (any_waits && self.may_create(volume)).then(|| {
            budgets
                .creates
                .next_at(now.instant)
                .filter(|_| !has_unused)
                .map_or(soonest, |at| at.max(soonest))
        })
    }

    /// Are fewer creates in flight in a data directory than may be?
    fn may_create(&self, volume: Volume) -> bool {
        let lane = self.lanes.of(volume);
        let most = lane.pressure.creates_max().min(lane.creates_max);
        self.jobs.creates(volume) < most
    }

    fn begin_create(&mut self, ledger: &mut Ledger, budgets: &Budgets, series: SeriesId, now: Now) {
        let volume = ledger.volume(series);
        let header = if self.lanes.is_away(volume) {
            Err(Fault::Away)
        } else {
            self.header_for(ledger.name(series), now.instant)
        };
        let header = match header {
            Ok(header) => header,
            Err(fault) => {
                self.lanes.of_mut(volume).unused.create(now.instant);
                return self.park(ledger, series, &fault, now);
            }
        };
        let sync = self.lanes.of(volume).sync_creates;
        let allocation = self.config.allocation;
        let file_bytes = header.file_bytes();
        // What others wait for is theirs: new files without end would take all that the limit grants.
        let due = clamped(ledger.due(volume));
        let is_spare = budgets.updates.ready(due.saturating_add(1), now.instant) > due;
        let firsts = is_spare
            .then(|| ledger.firsts(series))
            .flatten()
            .and_then(|points| Firsts::new(&header, &points, now.unix_seconds))
            .filter(|_| budgets.updates.grant(1, now.instant) == 1);
        if let Some(firsts) = &firsts {
            self.foresee_hold(ledger, series);
            ledger.created(series);
            let points = ledger.take(series, None).len();
            assert!(points == firsts.points, "{points} points of {firsts:?}");
        }
        self.begin(ledger, series, |path| {
            let head = match &firsts {
                Some(firsts) => firsts.head.clone(),
                None => header.encode(),
            };
            (
                Job::Create(Create {
                    series,
                    since: now.instant,
                    firsts: firsts.map(Box::new),
                }),
                FileOperation::Create {
                    path,
                    head,
                    file_bytes,
                    allocation,
                    sync,
                },
            )
        });
    }

    /// The file of a series was made.
    pub(super) fn made(&mut self, ledger: &mut Ledger, create: Create, now: Now) {
        let Create {
            series,
            since,
            firsts,
        } = create;
        let took = now.instant.saturating_duration_since(since);
        let lane = self.lanes.of_mut(ledger.volume(series));
        lane.pressure.took(took);
        lane.counts.creates += 1;
        self.lanes.forget(series);
        ledger.time(Latency::Create, took);
        ledger.count(Counter::Creates, 1);
        self.announce_made(ledger, series);
        let Some(firsts) = firsts else {
            self.foresee_hold(ledger, series);
            return ledger.created(series);
        };
        let Firsts {
            header,
            head,
            outcome,
            ..
        } = *firsts;
        let mut image = Image::new();
        image.add(whole(&head), head);
        self.layouts.note(series, &header, &image);
        self.wrote(ledger, (series, since, Duration::ZERO), &outcome, now);
    }

    /// Somebody else made the file meanwhile: it is used as it is.
    pub(super) fn found(&mut self, ledger: &mut Ledger, create: &Create, now: Now) {
        let series = create.series;
        self.made_none(ledger, create, now);
        self.lanes.forget(series);
        if create.firsts.is_some() {
            return ledger.put_back(series);
        }
        self.foresee_hold(ledger, series);
        ledger.created(series);
    }

    /// The file could not be made.
    pub(super) fn not_made(
        &mut self,
        ledger: &mut Ledger,
        create: &Create,
        fault: &Fault,
        now: Now,
    ) {
        self.made_none(ledger, create, now);
        if create.firsts.is_some() {
            ledger.put_back(create.series);
            // It was writable only for the points in flight with the file.
            ledger.set_standing(create.series, Standing::Unmade);
        }
        self.park(ledger, create.series, fault, now);
    }

    /// A create made no file: what it was granted goes back.
    fn made_none(&mut self, ledger: &Ledger, create: &Create, now: Now) {
        let unused = &mut self.lanes.of_mut(ledger.volume(create.series)).unused;
        unused.create(now.instant);
        if create.firsts.is_some() {
            unused.update();
        }
    }

    fn header_for(&mut self, name: &str, now: Instant) -> Result<Header, Fault> {
        let schema = self.config.schemas.archives(name);
        let aggregation = self.config.aggregations.rule(name);
        for section in [schema.gave_up, aggregation.gave_up].into_iter().flatten() {
            self.faults.say_pattern(section, name, now);
        }
        if self.config.tells.creates {
            self.told.push_back(Told::Creates {
                name: name.to_owned(),
                schema: schema.rule.name.clone(),
                aggregation: aggregation.rule.name.clone(),
                archives: schema.rule.archives.clone(),
                x_files_factor: aggregation.rule.x_files_factor,
                method: aggregation.rule.method,
            });
        }
        Header::new(
            &schema.rule.archives,
            aggregation
                .rule
                .x_files_factor
                .unwrap_or(X_FILES_FACTOR_DEFAULT),
            aggregation.rule.method.unwrap_or(Aggregation::Average),
        )
        .map_err(Fault::Layout)
    }
}

/// The stretch of a file of which these are the first bytes.
fn whole(head: &[u8]) -> ByteRange {
    let Ok(len) = u32::try_from(head.len()) else {
        unreachable!("a first page of {} bytes", head.len())
    };
    ByteRange { offset: 0, len }
}

impl FileError {
    /// A new file found its name taken.
    pub(super) fn is_exists(self) -> bool {
        self.stage == Stage::Publish && self.errno == rustix::io::Errno::EXIST.raw_os_error()
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::cache::Insert;
    use crate::clock;
    use crate::limiter::Budget;
    use crate::ring::{FileOutcome, FileToken};
    use crate::writer::tests::bare;

    /// What comes of a create.
    type Answer = Result<FileOutcome, FileError>;

    /// A shard on which no file exists; creates succeed after `LATENCY`, or not: those of `DENIED`.
    struct Half {
        ledger: Ledger,
        writer: Writer,
        /// Creates in flight, when they are done and what comes of them.
        busy: Vec<(Instant, (FileToken, Answer))>,
        /// Files that were asked for so far.
        asked: u32,
        wake: Option<Instant>,
    }

    const LATENCY: Duration = Duration::from_millis(7);
    /// Metrics of this name are in a directory of somebody else.
    const DENIED: &str = "denied";
    /// Those of this name have their files.
    const KNOWN: &str = "known";

    impl Half {
        fn new(name: &str, series: u32, now: Now) -> Half {
            let (ledger, writer) = bare(1 << 30);
            let mut half = Half {
                ledger,
                writer,
                busy: Vec::new(),
                asked: 0,
                wake: Some(now.instant),
            };
            half.send(name, series);
            half
        }

        /// A point of each of so many metrics.
        fn send(&mut self, name: &str, series: u32) {
            for number in 0..series {
                let point = Point {
                    timestamp: 1_800_000_000,
                    value: 1.0,
                };
                assert!(self.ledger.reserve(), "the cache has no bound");
                let name = format!("{name}{number}");
                let insert = self.ledger.insert(&name, point, Counter::Received);
                assert!(matches!(insert, Insert::New(_)), "{insert:?}");
            }
        }

        /// Files that were made so far.
        fn made(&self) -> u64 {
            self.writer.volume_counts().map(|it| it.creates).sum()
        }

        /// One turn; how many files were asked for.
        fn turn(&mut self, budgets: &Budgets, now: Now) -> u32 {
            let due = |(at, _): &mut (Instant, _)| *at <= now.instant;
            for (_, (token, made)) in self.busy.extract_if(.., due).collect::<Vec<_>>() {
                self.writer.complete(&mut self.ledger, token, made, now);
            }
            let before = self.asked;
            self.writer.start(&mut self.ledger, from_ref(budgets), now);
            while let Some((token, operation)) = self.writer.next_operation() {
                self.answer(token, &operation, now);
                self.writer.start(&mut self.ledger, from_ref(budgets), now);
            }
            let next = self
                .writer
                .next_deadline(&self.ledger, from_ref(budgets), now);
            self.wake = self.busy.iter().map(|(at, _)| *at).chain(next).min();
            self.asked - before
        }

        /// No file is there but those of `KNOWN`; one that is made takes its time.
        fn answer(&mut self, token: FileToken, operation: &FileOperation, now: Now) {
            if let FileOperation::Create { path, .. } = operation {
                self.asked += 1;
                let made = if path.to_string_lossy().contains(DENIED) {
                    Err(FileError {
                        stage: Stage::Create,
                        errno: rustix::io::Errno::ACCESS.raw_os_error(),
                    })
                } else {
                    Ok(FileOutcome::Created)
                };
                return self.busy.push((now.instant + LATENCY, (token, made)));
            }
            let FileOperation::Probe { path } = operation else {
                panic!("{operation:?} without a file");
            };
            let is_there = path.to_string_lossy().contains(KNOWN);
            let probed = Ok(FileOutcome::Probed(is_there));
            self.writer.complete(&mut self.ledger, token, probed, now);
        }
    }

    /// Files that two shards with so many new series ask for in each of `windows` stretches of ten
    /// seconds, in simulated time, with what the second of them asked for in all.
    fn created(per_minute: f64, series: [u32; 2], windows: usize) -> (Vec<u32>, u32) {
        let mut now = clock::now();
        let begin = now.instant;
        let budgets = Budgets {
            // Files that are made are not written: only creates are looked at.
            updates: Arc::new(Budget::new(Some(0.0), 0.1, begin)),
            creates: Arc::new(Budget::new(Some(per_minute / 60.0), 0.1, begin)),
        };
        let mut halves = ["a", "b"].map(|name| {
            let series = series[usize::from(name == "b")];
            Half::new(name, series, now)
        });
        let mut counts = vec![0; windows];
        let (mut second, mut turns) = (0, 0_usize);
        loop {
            let wake = halves.iter().filter_map(|half| half.wake).min().unwrap();
            now.instant = wake.max(now.instant);
            let window = now.instant.duration_since(begin).as_secs() / 10;
            let Some(count) = counts.get_mut(usize::try_from(window).unwrap()) else {
                return (counts, second);
            };
            turns += 1;
            // Both wait for the same moment: who is first then is anybody's luck.
            for nth in 0..2 {
                let index = ((turns.wrapping_mul(0x9e37_79b9) >> 7) + nth) & 1;
                let half = &mut halves[index];
                if half.wake.is_some_and(|wake| wake <= now.instant) {
                    let creates = half.turn(&budgets, now);
                    *count += creates;
                    second += creates * u32::try_from(index).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_slow_disk_gets_few_creates_until_it_is_fast_again() {
        let mut pressure = Pressure::default();
        let mut after = |ms: u64| {
            pressure.took(Duration::from_millis(ms));
            pressure.creates_max()
        };
        assert_eq!([after(1), after(49)], [CREATES_IN_FLIGHT_MAX; 2]);
        assert_eq!(
            [after(51), after(20), after(3_000), after(6)],
            [CREATES_ON_SLOW_DISK_MAX; 4]
        );
        assert_eq!([after(4), after(20)], [CREATES_IN_FLIGHT_MAX; 2]);
    }

    #[test]
    fn where_no_file_may_be_made_points_wait_and_a_stop_drops_them() {
        let mut now = clock::now();
        let budgets = Budgets {
            updates: Arc::new(Budget::new(None, 0.1, now.instant)),
            creates: Arc::new(Budget::new(Some(0.0), 0.1, now.instant)),
        };
        let mut half = Half::new("a", 5, now);
        for _ in 0..5 {
            assert_eq!(half.turn(&budgets, now), 0);
            now.instant += Duration::from_secs(3600);
        }
        assert_eq!(half.ledger.usage().points, 5, "they wait");
        half.ledger.drain();
        half.writer.drain(now);
        assert_eq!(half.turn(&budgets, now), 0);
        assert_eq!(half.ledger.usage().points, 0);
        let dropped = half.ledger.stats().get(Counter::DroppedCreateWait);
        assert_eq!(dropped, 5, "each is counted");
        // A limit that is raised again is heard at once.
        let mut half = Half::new("b", 5, now);
        half.turn(&budgets, now);
        budgets.creates.set_rate(None, now.instant);
        assert_eq!(half.turn(&budgets, now), 5);
    }

    #[test]
    fn creates_that_take_long_hold_up_nobody_whose_file_is_there() {
        let mut now = clock::now();
        let budgets = Budgets {
            updates: Arc::new(Budget::new(Some(0.0), 0.1, now.instant)),
            creates: Arc::new(Budget::new(None, 0.1, now.instant)),
        };
        let mut half = Half::new("new", 10_000, now);
        half.send(KNOWN, 1);
        assert_eq!(half.turn(&budgets, now), 32);
        assert_eq!(half.ledger.ready(Volume::FIRST), 1, "it can be written");
        assert_eq!(half.ledger.unproven(Volume::FIRST), 0);
        // None of them is dropped, and each has its turn.
        for turn in 2..=313 {
            now.instant += LATENCY;
            let all = 10_000 - half.asked;
            assert_eq!(half.turn(&budgets, now), all.min(32), "turn {turn}");
        }
        now.instant += LATENCY;
        assert_eq!((half.turn(&budgets, now), half.made()), (0, 10_000));
        let dropped = half.ledger.stats().get(Counter::DroppedCreateWait);
        assert_eq!((dropped, half.ledger.usage().waiting_points), (0, 0));
    }

    #[test]
    fn two_shards_of_unequal_load_keep_the_limit_together() {
        for (per_minute, series) in [
            (600.0, [5_000, 700]),
            (600.0, [5_000, 1]),
            (50.0, [5_000, 100]),
            (30_000.0, [20_000, 9_000]),
        ] {
            let (counts, second) = created(per_minute, series, 4);
            let expected = per_minute / 6.0;
            for count in &counts {
                let error = (f64::from(*count) - expected).abs();
                assert!(
                    error <= 1.0 || error <= expected * 0.02,
                    "{counts:?} of {expected} in ten seconds, {series:?}"
                );
            }
            assert!(second > 0, "the smaller shard was given nothing");
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_is_not_taken_for_one_that_was_seen() {
        // With first points in flight, and without.
        for updates in [None, Some(0.0)] {
            let mut now = clock::now();
            let budgets = Budgets {
                updates: Arc::new(Budget::new(updates, 0.1, now.instant)),
                creates: Arc::new(Budget::new(None, 0.1, now.instant)),
            };
            let mut half = Half::new(DENIED, 1, now);
            let series = half.ledger.find("denied0").unwrap();
            assert_eq!(half.turn(&budgets, now), 1);
            let in_flight = half.ledger.usage().points_in_flight;
            assert_eq!(in_flight, u64::from(updates.is_none()));
            now.instant += LATENCY;
            half.turn(&budgets, now);
            assert_eq!(half.ledger.standing(series), Standing::Unmade);
            assert!(half.ledger.is_parked(series));
            assert_eq!(half.ledger.usage().parked_points, 1);
            // Its retry is due.
            now.instant += Duration::from_secs(1);
            assert_eq!(half.turn(&budgets, now), 1, "{updates:?}");
        }
    }

    #[test]
    fn metrics_whose_files_cannot_be_made_hold_no_others_up() {
        let mut now = clock::now();
        let begin = now.instant;
        let budgets = Budgets {
            updates: Arc::new(Budget::new(Some(0.0), 0.1, begin)),
            creates: Arc::new(Budget::new(Some(1.0), 0.1, begin)),
        };
        let mut half = Half::new(DENIED, 100, now);
        half.turn(&budgets, now);
        half.send("sound", 20);
        let mut first = None;
        while now.instant < begin + Duration::from_secs(10) {
            half.turn(&budgets, now);
            if half.made() > 0 {
                first.get_or_insert(now.instant - begin);
            }
            now.instant = half.wake.unwrap().max(now.instant);
        }
        // A hundred tries, three of them between two rests.
        let is_soon = first.is_some_and(|after| after < Duration::from_secs(4));
        assert!(is_soon, "the first after {first:?}");
        let made = half.made();
        assert!((7..=11).contains(&made), "{made} at one a second");
    }

    #[test]
    fn a_core_whose_creates_all_fail_leaves_grants_to_another() {
        let mut now = clock::now();
        let end = now.instant + Duration::from_secs(60);
        let budgets = Budgets {
            updates: Arc::new(Budget::new(Some(0.0), 0.1, now.instant)),
            creates: Arc::new(Budget::new(Some(50.0 / 60.0), 0.1, now.instant)),
        };
        let mut halves = [Half::new(DENIED, 5_000, now), Half::new("sound", 100, now)];
        while now.instant < end {
            // The one that has them all in hand is always first.
            for half in &mut halves {
                if half.wake.is_some_and(|wake| wake <= now.instant) {
                    half.turn(&budgets, now);
                }
            }
            let wake = halves.iter().filter_map(|half| half.wake).min().unwrap();
            now.instant = wake.max(now.instant);
        }
        let [denied, sound] = halves.map(|half| (half.asked, half.made()));
        assert!(denied.0 > 1_000 && denied.1 == 0, "{denied:?}");
        assert!((5..=51).contains(&sound.1), "{sound:?} of 50");
    }
}
