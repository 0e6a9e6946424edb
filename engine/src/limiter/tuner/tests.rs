//! The tuner on simulated disks, in simulated time; and on whatever else may be measured.

use proptest::prelude::*;

use super::*;

const HDD: Bounds = Bounds {
    read_wait: Duration::from_millis(100),
    first: 30.0,
    least: 10.0,
};
const QUARTER: Duration = Duration::from_millis(250);

/// A disk of one queue: each update is some requests, a read beside them waits for what is queued,
/// and the nearer the disk is to its end the longer.
struct Disk {
    updates_per_s: f64,
    request_s: f64,
    /// Updates that wait beyond what is in work.
    behind: f64,
    noise: u64,
    /// For so many quarters all that is read waits so many seconds more.
    moment: (u32, f64),
}

impl Disk {
    fn new(updates_per_s: f64, request_s: f64) -> Disk {
        Disk {
            updates_per_s,
            request_s,
            behind: 0.0,
            noise: 1,
            moment: (0, 0.0),
        }
    }

    /// From 0.7 to 1.3.
    fn noise(&mut self) -> f64 {
        self.noise = self
            .noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        0.7 + f64::from(u32::try_from(self.noise >> 32).unwrap()) / f64::from(u32::MAX) * 0.6
    }

    /// A quarter of a second in which so many updates a second begin.
    fn quarter(&mut self, rate: f64) -> Activity {
        let span = QUARTER.as_secs_f64();
        let came = rate * span + self.behind;
        let done = came.min(self.updates_per_s * span);
        self.behind = (came - done).min(256.0);
        let load = (rate / self.updates_per_s).min(0.99);
        let queued = self.behind / self.updates_per_s;
        let mut wait = (self.request_s / (1.0 - load)) * self.noise() + queued;
        if let (left @ 1.., longer_s) = self.moment {
            self.moment = (left - 1, longer_s);
            wait += longer_s;
        }
        let reads = 5 + whole(done);
        Activity {
            reads,
            read_wait: Duration::from_secs_f64(wait) * u32::try_from(reads).unwrap(),
            busy: QUARTER.mul_f64(load.min(1.0)),
            ..Activity::default()
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test's counts"
)]
fn whole(count: f64) -> u64 {
    count.round() as u64
}

/// What a tuner did, a quarter of a second each.
struct Run {
    rates: Vec<f64>,
    waits: Vec<Duration>,
    verdict: Verdict,
}

impl Run {
    fn of(tuner: &mut Tuner, disk: &mut Disk, wanted: f64, seconds: u32) -> Run {
        let (mut rates, mut waits) = (Vec::new(), Vec::new());
        let mut verdict = None;
        for _ in 0..seconds * 4 {
            let rate = tuner.rate.min(wanted);
            let activity = disk.quarter(rate);
            waits.push(activity.read_wait / u32::try_from(activity.reads).unwrap());
            verdict = Some(tuner.step(&Sample {
                span: QUARTER,
                disks: &[activity],
                used: whole(rate * QUARTER.as_secs_f64()),
                made: 0,
                dirty: 0.0,
                is_cache_full: false,
            }));
            rates.push(tuner.rate);
        }
        Run {
            rates,
            waits,
            verdict: verdict.unwrap(),
        }
    }

    fn least_and_most(&self, from_s: usize) -> (f64, f64) {
        let rates = self.rates[from_s * 4..].iter().copied();
        rates.fold((f64::MAX, 0.0), |(least, most), rate| {
            (rate.min(least), rate.max(most))
        })
    }
}

#[test]
fn it_settles_within_a_minute_and_stays() {
    for (updates_per_s, request_s) in [
        (25.0, 0.012),
        (60.0, 0.0065),
        (150.0, 0.005),
        (700.0, 0.002),
    ] {
        let (mut tuner, mut disk) = (Tuner::new(HDD), Disk::new(updates_per_s, request_s));
        let run = Run::of(&mut tuner, &mut disk, 1e6, 600);
        let (least, most) = run.least_and_most(60);
        assert!(
            most / least < 1.8,
            "{updates_per_s}: from {least} to {most}"
        );
        assert!(
            most < updates_per_s && least > updates_per_s * 0.35,
            "{updates_per_s}: from {least} to {most}"
        );
        let mut waits = run.waits[240..].to_vec();
        waits.sort_unstable();
        let tail = waits[waits.len() / 100 * 99];
        assert!(tail < HDD.read_wait, "{updates_per_s}: {tail:?}");
    }
}

#[test]
fn a_disk_that_rests_is_given_more_at_every_look() {
    let flash = Bounds {
        read_wait: Duration::from_millis(20),
        first: 4000.0,
        least: 200.0,
    };
    let rate_of = |updates_per_s, wanted| {
        let (mut tuner, mut disk) = (Tuner::new(flash), Disk::new(updates_per_s, 0.0001));
        whole(Run::of(&mut tuner, &mut disk, wanted, 2).rates[7])
    };
    // Twice as much at seven of eight looks, to a quarter of what the disk does, and once more.
    assert_eq!(rate_of(1e7, 1e9), 512_000);
    assert_eq!(rate_of(100_000.0, 1e9), 32_000);
    assert_eq!(rate_of(16_001.0, 1e9), 8000);
    assert_eq!(rate_of(15_999.0, 1e9), 4000, "the usual way");
    assert_eq!(rate_of(1e7, 2000.0), 4000, "not used");
}

#[test]
fn a_rate_that_is_not_used_stays() {
    let (mut tuner, mut disk) = (Tuner::new(HDD), Disk::new(150.0, 0.005));
    let run = Run::of(&mut tuner, &mut disk, 4.0, 300);
    assert_eq!(run.least_and_most(0), (30.0, 30.0));
    assert_eq!(run.verdict.reason, Reason::Enough);
    // As soon as it is used, it goes up.
    let run = Run::of(&mut tuner, &mut disk, 40.0, 60);
    assert!(tuner.rate >= 40.0 && tuner.rate < 90.0, "{}", tuner.rate);
    assert_eq!(run.verdict.reason, Reason::Enough);
}

#[test]
fn a_disk_that_changes_is_followed() {
    let (mut tuner, mut disk) = (Tuner::new(HDD), Disk::new(200.0, 0.004));
    Run::of(&mut tuner, &mut disk, 1e6, 120);
    let before = tuner.rate;
    disk.updates_per_s = 50.0;
    let run = Run::of(&mut tuner, &mut disk, 1e6, 120);
    let (least, most) = run.least_and_most(60);
    assert!(
        before > 80.0 && least > 15.0 && most < 50.0,
        "{before}, then {least} to {most}"
    );
    disk.updates_per_s = 200.0;
    Run::of(&mut tuner, &mut disk, 1e6, 240);
    assert!(tuner.rate > 60.0, "{}", tuner.rate);
}

#[test]
fn a_moment_costs_a_quarter_of_the_rate_at_most() {
    let least_of = |quarters, second| {
        let (mut tuner, mut disk) = (Tuner::new(HDD), Disk::new(200.0, 0.004));
        Run::of(&mut tuner, &mut disk, 1e6, second);
        let before = tuner.rate;
        disk.moment = (quarters, 0.6);
        let run = Run::of(&mut tuner, &mut disk, 1e6, 30);
        run.least_and_most(0).0 / before
    };
    for second in 120..150 {
        for quarters in 1..=8 {
            let least = least_of(quarters, second);
            assert!(least > 0.7, "{quarters} quarters at {second} s: {least}");
        }
        // What lasts is no moment.
        let least = least_of(120, second);
        assert!(least < 0.3, "all the time from {second} s on: {least}");
    }
}

#[test]
fn after_seconds_of_trouble_the_rate_comes_back_and_goes_no_further() {
    for (updates_per_s, request_s) in [
        (60.0, 0.0065),
        (80.0, 0.0085),
        (150.0, 0.005),
        (200.0, 0.004),
        (700.0, 0.002),
    ] {
        for seconds in 4..=12 {
            let (mut tuner, mut disk) = (Tuner::new(HDD), Disk::new(updates_per_s, request_s));
            Run::of(&mut tuner, &mut disk, 1e6, 120);
            let before = tuner.rate;
            disk.moment = (seconds * 4, 0.6);
            let run = Run::of(&mut tuner, &mut disk, 1e6, seconds + 30);
            let (_, most) = run.least_and_most(0);
            let part = tuner.rate / before;
            assert!(
                part > 0.8 && most <= before * 1.01,
                "{updates_per_s}, {seconds} s: {before}, at most {most}, {part} of it after half a minute"
            );
        }
    }
}

#[test]
fn others_alone_push_it_to_its_floor_and_no_further() {
    let mut tuner = Tuner::new(HDD);
    let slow = Activity {
        reads: 50,
        read_wait: Duration::from_secs(50),
        ..Activity::default()
    };
    let mut sample = Sample {
        span: QUARTER,
        disks: &[slow],
        used: 0,
        made: 0,
        dirty: 0.0,
        is_cache_full: false,
    };
    let mut last = None;
    for _ in 0..200 {
        last = Some(tuner.step(&sample));
    }
    let verdict = last.unwrap();
    assert_eq!(
        (verdict.rate, verdict.reason),
        (Some(10.0), Reason::ReadsWait)
    );
    sample.is_cache_full = true;
    let verdict = tuner.step(&sample);
    assert_eq!((verdict.rate, verdict.reason), (None, Reason::CacheFull));
}

#[test]
fn what_new_files_make_reads_wait_is_not_blamed_on_updates() {
    let (mut tuner, mut disk) = (Tuner::new(HDD), Disk::new(150.0, 0.005));
    Run::of(&mut tuner, &mut disk, 1e6, 60);
    let before = tuner.rate;
    let slow = [Activity {
        reads: 50,
        read_wait: Duration::from_secs(50),
        ..Activity::default()
    }];
    let flood = |made| Sample {
        span: QUARTER,
        disks: &slow,
        used: 10,
        made,
        dirty: 0.9,
        is_cache_full: false,
    };
    for _ in 0..400 {
        let verdict = tuner.step(&flood(300));
        assert!(verdict.rate == Some(before), "{verdict:?}");
    }
    assert_eq!(tuner.reason, Reason::NewFiles);
    // It goes on where it was, as soon as the flood is over.
    let run = Run::of(&mut tuner, &mut disk, 1e6, 60);
    let (least, _) = run.least_and_most(0);
    assert!(least >= before * 0.5, "{before}, then {least}");
    // The same waits with few new files are those of updates.
    for _ in 0..400 {
        tuner.step(&flood(9));
    }
    assert_eq!((tuner.rate, tuner.reason), (10.0, Reason::ReadsWait));
}

#[test]
fn dirty_memory_counts_where_the_disk_is_busy() {
    let busy = |busy| Activity {
        writes: 100,
        write_wait: Duration::from_millis(100),
        busy,
        ..Activity::default()
    };
    for (activity, expected) in [
        (busy(QUARTER), Reason::Dirty),
        (busy(Duration::ZERO), Reason::Raising),
    ] {
        let mut tuner = Tuner::new(HDD);
        let mut seen = Vec::new();
        for _ in 0..12 {
            let verdict = tuner.step(&Sample {
                span: QUARTER,
                disks: &[Activity::default(), activity],
                used: 1000,
                made: 0,
                dirty: 0.6,
                is_cache_full: false,
            });
            seen.push(verdict.reason);
        }
        assert_eq!(seen.last(), Some(&expected), "{seen:?}");
    }
}

#[test]
fn reasons_have_numbers_of_their_own() {
    for (number, reason) in (0..).zip(Reason::ALL) {
        assert_eq!(reason.number(), number);
    }
}

proptest! {
    #[test]
    fn whatever_is_measured_the_rate_stays_in_its_bounds(
        samples in prop::collection::vec(
            (0_u64..20_000, 0_u64..500, 0_u64..100_000, 0_u64..500, any::<u64>(), 0.0_f64..2.0),
            1..300,
        ),
    ) {
        let mut tuner = Tuner::new(HDD);
        for (span_ms, reads, wait_ms, writes, used, dirty) in samples {
            let activity = Activity {
                reads,
                read_wait: Duration::from_millis(wait_ms),
                writes,
                write_wait: Duration::from_millis(wait_ms),
                busy: Duration::from_millis(span_ms),
            };
            let before = tuner.rate;
            let verdict = tuner.step(&Sample {
                span: Duration::from_millis(span_ms),
                disks: &[activity],
                used: used >> 32,
                made: 0,
                dirty,
                is_cache_full: false,
            });
            let rate = verdict.rate.unwrap();
            prop_assert!((HDD.least..=BUDGET_RATE_MAX).contains(&rate));
            prop_assert!(rate <= before * RAISE_FREE && tuner.windows.len() <= TUNER_WINDOWS_MAX);
        }
    }
}
