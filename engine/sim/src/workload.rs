//! What senders send: metrics at their intervals, repeated seconds, points that come late, bursts,
//! backfills, points that no first archive reaches any more, or none, where the seed says so; new metrics all the time, and where the seed says so names that come once and never again. Every
//! value is sent once only, so that a wrong one is known.

use benzene_engine::point::Point;

use crate::content::reach;
use crate::prng::Prng;

/// A backfill, once in so many turns.
const BACKFILL_ONCE_IN: u64 = 300;
/// What a backfill spans at most, in seconds: four times the longest hold, and some more.
const BACKFILL_SPAN_S_MAX: u64 = 600;
/// Points that come very late are so many seconds apart, or less than two minutes.
const FAR_STEP_S: u64 = 4_000;
/// Names that come once have numbers from here on.
const ONCE_FIRST: usize = 1 << 20;
/// Most of them in a run: each is a file.
const ONCE_MAX: usize = 500;
/// Most points of them in one turn.
const ONCE_TOGETHER_MAX: usize = 12;
/// The step of their only archive, in seconds.
const ONCE_STEP_S: u32 = 60;

/// The senders.
#[derive(Debug)]
pub(crate) struct Workload {
    metrics: usize,
    has_generations: bool,
    is_far: bool,
    once: usize,
    sent: u32,
}

impl Workload {
    /// Senders of a few metrics, and of many names that come once.
    pub(crate) fn new((has_generations, is_far): (bool, bool), prng: &mut Prng) -> Workload {
        Workload {
            metrics: 3 + prng.index(40),
            has_generations,
            is_far,
            once: 0,
            sent: 0,
        }
    }

    /// Is it one of the metrics that come once?
    pub(crate) fn comes_once(metric: usize) -> bool {
        metric >= ONCE_FIRST
    }

    /// The name of a metric; those that come once are long, so that few of them fill a segment.
    pub(crate) fn name(metric: usize) -> String {
        match metric.checked_sub(ONCE_FIRST) {
            None => format!("sim.host{}.m{metric}", Workload::host(metric)),
            Some(once) => format!("once.g{}.{once:0>150}", once % 13),
        }
    }

    /// The host of a metric that comes all the time.
    pub(crate) fn host(metric: usize) -> usize {
        metric % 7
    }

    /// One of the metrics that come all the time.
    pub(crate) fn regular(&self, prng: &mut Prng) -> usize {
        prng.index(self.metrics)
    }

    /// All metrics there have been.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.metrics).chain(ONCE_FIRST..ONCE_FIRST + self.once)
    }

    /// A value of its own, of two to eight bytes in the journal.
    fn value(&mut self, prng: &mut Prng) -> f64 {
        let fraction = match prng.below(3) {
            0 => 0.0,
            1 => 0.5,
            _ => 1.0 / 3.0,
        };
        self.sent += 1;
        f64::from(self.sent) + fraction
    }

    /// What comes in one turn.
    pub(crate) fn points(&mut self, unix_seconds: u32, prng: &mut Prng) -> Vec<(usize, Point)> {
        let mut points = Vec::new();
        self.add_regular(unix_seconds, prng, &mut points);
        if prng.once_in(BACKFILL_ONCE_IN) {
            self.add_backfill(unix_seconds, prng, &mut points);
        }
        if self.has_generations && prng.once_in(5) {
            self.add_once(unix_seconds, prng, &mut points);
        }
        points
    }

    fn add_regular(
        &mut self,
        unix_seconds: u32,
        prng: &mut Prng,
        points: &mut Vec<(usize, Point)>,
    ) {
        if prng.once_in(200) {
            self.metrics += 1;
        }
        let count = match prng.below(10) {
            0..=4 => 0,
            5..=8 => 1 + prng.index(4),
            _ => 1 + prng.index(60),
        };
        let first = prng.index(self.metrics);
        let in_order = prng.once_in(2);
        for index in 0..count {
            let metric = if in_order {
                (first + index) % self.metrics
            } else {
                prng.index(self.metrics)
            };
            let age_s = match prng.below(20) {
                0 => prng.below(300),
                1 | 2 => prng.below(5),
                3 if self.is_far => far_age_s(metric, prng),
                _ => 0,
            };
            let Ok(age_s) = u32::try_from(age_s) else {
                unreachable!("ages are small")
            };
            let point = Point {
                timestamp: unix_seconds - age_s,
                value: self.value(prng),
            };
            points.push((metric, point));
        }
    }

    /// What somebody has kept of one metric while he was cut off, the oldest point first.
    fn add_backfill(
        &mut self,
        unix_seconds: u32,
        prng: &mut Prng,
        points: &mut Vec<(usize, Point)>,
    ) {
        let metric = prng.index(self.metrics);
        let count = prng.within(4, 40);
        let laps = if self.is_far { prng.within(1, 4) } else { 1 };
        let span_s = laps * prng.within(count, BACKFILL_SPAN_S_MAX);
        for number in (0..count).rev() {
            let Ok(age_s) = u32::try_from(number * span_s / count) else {
                unreachable!("a backfill spans minutes")
            };
            let point = Point {
                timestamp: unix_seconds - age_s,
                value: self.value(prng),
            };
            points.push((metric, point));
        }
    }

    fn add_once(&mut self, unix_seconds: u32, prng: &mut Prng, points: &mut Vec<(usize, Point)>) {
        let count = (1 + prng.index(ONCE_TOGETHER_MAX)).min(ONCE_MAX - self.once);
        for _ in 0..count {
            let point = Point {
                timestamp: unix_seconds / ONCE_STEP_S * ONCE_STEP_S,
                value: self.value(prng),
            };
            points.push((ONCE_FIRST + self.once, point));
            self.once += 1;
        }
    }
}

/// An age that no first archive reaches, or none at all; few minutes, so that several points meet in one.
fn far_age_s(metric: usize, prng: &mut Prng) -> u64 {
    let reach = reach(metric, true);
    let [first_s, last_s] = [reach.first_s, reach.last_s].map(u64::from);
    match prng.below(8) {
        0 => last_s + prng.within(1, last_s),
        1 => prng.within(first_s - 60, first_s + 60),
        _ => {
            first_s
                + prng.within(0, (last_s - first_s) / FAR_STEP_S - 1) * FAR_STEP_S
                + prng.below(90)
        }
    }
}
