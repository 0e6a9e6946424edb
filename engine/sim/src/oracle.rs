//! What must be there: every value that was accepted, second by second, and whether a crash may
//! have taken it.
//! Of the values of one second the last accepted one stands, where no crash may have taken it; one
//! that a crash may have taken stands or does not. Nothing else may ever be seen.

use std::collections::{BTreeMap, BTreeSet};

use benzene_engine::point::Point;

use crate::content::reach;
use crate::far::MINUTE_S;

/// A value that was accepted.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each comes alone or with any other"
)]
struct Accepted {
    value: f64,
    /// Milliseconds since the world began.
    at_ms: u64,
    /// How old it was then, in seconds.
    age_s: u32,
    /// Its place among all values.
    number: u64,
    /// A crash or a drop that is allowed may have taken it.
    at_risk: bool,
    /// A start could not read all of the journal, and this was in no file yet.
    is_unread: bool,
    /// An earlier value of its second may stand instead of it.
    is_order_at_risk: bool,
    /// A query has shown it under a promise that no crash takes it.
    is_pledged: bool,
}

/// What is asked of a metric's first archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Values from this number on may be there or not.
    pub(crate) before: u64,
    /// The present, as senders count.
    pub(crate) now_s: u32,
    /// How far back the archive reaches, in seconds.
    pub(crate) first_s: u32,
}

impl Asked {
    /// What is asked of a metric when all is written.
    pub(crate) fn all(metric: usize, now_s: u32, is_far: bool) -> Asked {
        let first_s = reach(metric, is_far).first_s;
        Asked {
            before: u64::MAX,
            now_s,
            first_s,
        }
    }

    /// Does the archive reach this second, whenever its point was written?
    pub(crate) fn is_in_reach(&self, timestamp: u32) -> bool {
        timestamp + self.first_s > self.now_s
    }
}

/// All that was accepted, by metric and second.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    slots: BTreeMap<(usize, u32), Vec<Accepted>>,
    accepted: u64,
    /// Values accepted since the last crash, in order.
    fresh: Vec<(usize, u32)>,
    /// Values that a power cut may take which comes before they are journaled anew: those of the
    /// last second before a kill.
    shaky: Vec<(usize, u32)>,
    /// The number of the value that a query has shown of a second, since the last crash, and of the
    /// question.
    shown: BTreeMap<(usize, u32), (u64, u64)>,
}

impl Oracle {
    /// A point of a metric was accepted.
    pub(crate) fn accept(&mut self, metric: usize, point: Point, (at_ms, now_s): (u64, u32)) {
        let slot = self.slots.entry((metric, point.timestamp)).or_default();
        slot.push(Accepted {
            value: point.value,
            at_ms,
            age_s: now_s.saturating_sub(point.timestamp),
            number: self.accepted,
            at_risk: false,
            is_unread: false,
            is_order_at_risk: false,
            is_pledged: false,
        });
        self.accepted += 1;
        self.fresh.push((metric, point.timestamp));
    }

    /// A crash that may take what was accepted after the first moment; a power cut that comes before
    /// the next start has settled, what was accepted after the second.
    pub(crate) fn crash(&mut self, safe_until_ms: u64, settled_until_ms: u64) {
        self.shown.clear();
        for key in self.fresh.drain(..) {
            let mut is_shaky = false;
            for accepted in self.slots.get_mut(&key).into_iter().flatten() {
                accepted.at_risk |= accepted.at_ms > safe_until_ms && !accepted.is_pledged;
                is_shaky |= accepted.at_ms > settled_until_ms;
            }
            if is_shaky {
                self.shaky.push(key);
            }
        }
    }

    /// A start has settled: what came back is on the disk once more.
    pub(crate) fn settled(&mut self) {
        self.shaky.clear();
    }

    /// A power cut came before that.
    pub(crate) fn unsettled(&mut self) {
        for key in self.shaky.drain(..) {
            for accepted in self.slots.get_mut(&key).into_iter().flatten() {
                accepted.at_risk |= !accepted.is_pledged;
            }
        }
    }

    /// Nothing that was ever accepted is promised any more.
    pub(crate) fn promise_nothing(&mut self) {
        for accepted in self.slots.values_mut().flatten() {
            accepted.at_risk = true;
        }
    }

    /// Of several values of one second any may stand from now on: an old one may have come back, and the
    /// later ones not.
    pub(crate) fn forget_order(&mut self) {
        let repeated = self.slots.values_mut().filter(|slot| slot.len() > 1);
        for accepted in repeated.flatten() {
            accepted.at_risk = true;
        }
    }

    /// Everything that was accepted is there, but of several values of one second an earlier one may stand
    /// in the place of one that was accepted from this moment on.
    pub(crate) fn forget_order_since(&mut self, at_ms: u64) {
        for accepted in self.slots.values_mut().flatten() {
            accepted.is_order_at_risk |= accepted.at_ms >= at_ms;
        }
    }

    /// Nothing that was accepted of this metric is promised any more: somebody broke its file.
    pub(crate) fn forgive(&mut self, metric: usize) {
        let slots = self.slots.range_mut((metric, 0)..=(metric, u32::MAX));
        for accepted in slots.flat_map(|(_, slot)| slot) {
            accepted.at_risk = true;
        }
    }

    /// Of this metric what is not in its file may have been dropped, and was counted.
    pub(crate) fn may_be_dropped(&mut self, metric: usize, in_file: &BTreeMap<u32, f64>) {
        let slots = self.slots.range_mut((metric, 0)..=(metric, u32::MAX));
        for ((_, timestamp), slot) in slots {
            let found = in_file.get(timestamp).map(|value| value.to_bits());
            for accepted in slot {
                accepted.at_risk |= found != Some(accepted.value.to_bits());
            }
        }
    }

    /// Of what was accepted before this moment what is not in its file may be missing, as the journal could
    /// not be read.
    pub(crate) fn may_be_unread(
        &mut self,
        metric: usize,
        in_file: &BTreeMap<u32, f64>,
        before_ms: u64,
    ) {
        let slots = self.slots.range_mut((metric, 0)..=(metric, u32::MAX));
        for ((_, timestamp), slot) in slots {
            let found = in_file.get(timestamp).map(|value| value.to_bits());
            for accepted in slot.iter_mut().filter(|one| one.at_ms < before_ms) {
                accepted.is_unread |= found != Some(accepted.value.to_bits());
            }
        }
    }

    /// What could not be read may be gone for ever.
    pub(crate) fn forget_unread(&mut self) {
        for accepted in self.slots.values_mut().flatten() {
            accepted.at_risk |= accepted.is_unread;
            accepted.is_unread = false;
        }
    }

    /// Seconds of which nothing is there, only because it could not be read.
    pub(crate) fn unread(
        &self,
        metric: usize,
        found: &BTreeMap<u32, f64>,
        asked: &Asked,
    ) -> impl Iterator<Item = u32> {
        let slots = self.slots.range((metric, 0)..=(metric, u32::MAX));
        slots
            .filter(move |((_, timestamp), slot)| {
                asked.is_in_reach(*timestamp)
                    && !found.contains_key(timestamp)
                    && slot.iter().any(|one| one.is_unread && !one.at_risk)
                    && !self
                        .slots
                        .contains_key(&(metric, timestamp - asked.first_s))
            })
            .map(|((_, timestamp), _)| *timestamp)
    }

    /// Was a value of these seconds accepted so shortly before a crash that it may be gone?
    pub(crate) fn is_at_risk(&self, metric: usize, first: u32, last: u32) -> bool {
        let slots = self.slots.range((metric, first)..=(metric, last));
        let mut values = slots.flat_map(|(_, slot)| slot);
        values.any(|value| value.at_risk || value.is_unread || value.is_order_at_risk)
    }

    /// How many values were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Compares what is there of a metric, one point a second, as far as its first archive reaches; says
    /// what is wrong.
    pub(crate) fn check(
        &self,
        metric: usize,
        found: &BTreeMap<u32, f64>,
        asked: &Asked,
    ) -> Result<(), String> {
        let slots = self.slots.range((metric, 0)..=(metric, u32::MAX));
        for ((_, timestamp), accepted) in slots.filter(|((_, at), _)| asked.is_in_reach(*at)) {
            let found = found.get(timestamp).copied();
            // One that is just as old as the archive reaches lies in the same slot.
            let is_overwritten = timestamp
                .checked_sub(asked.first_s)
                .is_some_and(|older| self.slots.contains_key(&(metric, older)));
            if !is_allowed(accepted, found, asked.before) && !is_overwritten {
                return Err(format!(
                    "metric {metric} has {found:?} at {timestamp}, accepted were {accepted:?}"
                ));
            }
        }
        self.check_origin(metric, found)
    }

    /// Says whether a first archive has a value that was too old for it when it was accepted.
    pub(crate) fn check_ages(
        &self,
        metric: usize,
        found: &BTreeMap<u32, f64>,
        age_s_max: u32,
    ) -> Result<(), String> {
        for (timestamp, value) in found {
            let slot = self.slots.get(&(metric, *timestamp));
            let mut same = slot
                .into_iter()
                .flatten()
                .filter(|one| one.value.to_bits() == value.to_bits());
            if same.any(|one| one.age_s > age_s_max) {
                return Err(format!(
                    "metric {metric} has {value} at {timestamp} in its first archive, and it was older \
                     than that reaches"
                ));
            }
        }
        Ok(())
    }

    /// Values of these seconds, oldest second first, and of a second in their order.
    fn values(
        &self,
        metric: usize,
        (first, last): (u32, u32),
    ) -> impl Iterator<Item = (u32, &Accepted)> {
        let slots = self.slots.range((metric, first)..=(metric, last));
        slots.flat_map(|((_, timestamp), slot)| slot.iter().map(|one| (*timestamp, one)))
    }

    /// Was a value of these seconds accepted from this moment on?
    pub(crate) fn has_since(&self, metric: usize, seconds: (u32, u32), at_ms: u64) -> bool {
        self.values(metric, seconds)
            .any(|(_, one)| one.at_ms >= at_ms)
    }

    /// Is there a value of these seconds that nothing may have taken, nor a second a lap later in the first
    /// archive, before it was part of an average?
    pub(crate) fn is_owed(&self, metric: usize, seconds: (u32, u32), lap_s: u32) -> bool {
        let mut values = self.values(metric, seconds);
        values.any(|(timestamp, one)| {
            !one.at_risk && !one.is_unread && !self.slots.contains_key(&(metric, timestamp + lap_s))
        })
    }

    /// The least and the greatest value of these seconds that was no older than this.
    pub(crate) fn hull(
        &self,
        metric: usize,
        seconds: (u32, u32),
        age_s_max: u32,
    ) -> Option<(f64, f64)> {
        let values = self.values(metric, seconds);
        let values = values.filter(|(_, one)| one.age_s <= age_s_max);
        let values = values.map(|(_, one)| (one.value, one.value));
        values.reduce(|(min, max), (value, _)| (min.min(value), max.max(value)))
    }

    /// Minutes of a metric of which values were accepted.
    pub(crate) fn minutes(&self, metric: usize) -> BTreeSet<u32> {
        let seconds = self.slots.range((metric, 0)..=(metric, u32::MAX));
        let minutes = seconds.map(|((_, timestamp), _)| timestamp - timestamp % MINUTE_S);
        minutes.collect()
    }

    /// Of values that were accepted from a moment on, all of them too old for the first archive: those that
    /// may stand for their minute. Of two that are written together the later second stands, of others
    /// what was accepted last. None where there are no such values, or not only.
    pub(crate) fn last_of(
        &self,
        metric: usize,
        seconds: (u32, u32),
        (first_s, since_ms): (u32, u64),
    ) -> Option<Vec<f64>> {
        let values = self.values(metric, seconds);
        let since: Vec<_> = values.filter(|(_, one)| one.at_ms >= since_ms).collect();
        let are_old = since
            .iter()
            .all(|(_, one)| one.age_s > first_s && !one.at_risk);
        if since.is_empty() || !are_old {
            return None;
        }
        let may_stand = |(timestamp, one): &&(u32, &Accepted)| {
            let later = since.iter().filter(|(_, other)| other.number > one.number);
            later.into_iter().all(|(other, _)| other < timestamp)
        };
        let standing = since.iter().filter(may_stand);
        Some(standing.map(|(_, one)| one.value).collect())
    }

    /// How many values are such, by metric, second and age.
    pub(crate) fn count(&self, is_such: impl Fn(usize, u32, u32) -> bool) -> u64 {
        let all = self.slots.iter();
        let all = all.flat_map(|((metric, at), slot)| slot.iter().map(|one| (*metric, *at, one)));
        all.filter(|(metric, at, one)| is_such(*metric, *at, one.age_s))
            .count() as u64
    }

    /// How many seconds have a value that is such, by metric, moment and age.
    pub(crate) fn count_seconds(&self, is_such: impl Fn(usize, u64, u32) -> bool) -> u64 {
        let has_such = |((metric, _), slot): &(&(usize, u32), &Vec<Accepted>)| {
            let mut values = slot.iter();
            values.any(|one| is_such(*metric, one.at_ms, one.age_s))
        };
        self.slots.iter().filter(has_such).count() as u64
    }

    /// Says whether there is a value of a metric that nobody has sent.
    pub(crate) fn check_origin(
        &self,
        metric: usize,
        found: &BTreeMap<u32, f64>,
    ) -> Result<(), String> {
        for (timestamp, value) in found {
            if self.number_of(metric, *timestamp, *value).is_none() {
                return Err(format!(
                    "metric {metric} has {value} at {timestamp}, which nobody has sent"
                ));
            }
        }
        Ok(())
    }

    /// The answer to a question of this number has shown this of a metric, which was all of it; says
    /// whether it is older than what an earlier question has seen. Answers may come in any order.
    pub(crate) fn show(
        &mut self,
        metric: usize,
        found: &BTreeMap<u32, f64>,
        question: u64,
    ) -> Result<(), String> {
        for (timestamp, value) in found {
            let key = (metric, *timestamp);
            let Some(number) = self.number_of(metric, *timestamp, *value) else {
                continue;
            };
            let before = *self.shown.entry(key).or_insert((number, question));
            if before.1 > question {
                continue;
            }
            if number < before.0 {
                return Err(format!(
                    "a query shows value {number} of metric {metric} at {timestamp}, and an earlier \
                     one has shown {}",
                    before.0
                ));
            }
            self.shown.insert(key, (number, question));
        }
        Ok(())
    }

    /// What a query has shown of a metric is never to be lost.
    pub(crate) fn pledge(&mut self, metric: usize, found: &BTreeMap<u32, f64>) {
        for (timestamp, value) in found {
            let slot = self.slots.get_mut(&(metric, *timestamp));
            for accepted in slot.into_iter().flatten() {
                accepted.is_pledged |= accepted.value.to_bits() == value.to_bits();
            }
        }
    }

    fn number_of(&self, metric: usize, timestamp: u32, value: f64) -> Option<u64> {
        let slot = self.slots.get(&(metric, timestamp))?;
        let one = slot
            .iter()
            .find(|one| one.value.to_bits() == value.to_bits())?;
        Some(one.number)
    }
}

/// Whether this may stand after these were accepted, in this order; those from a number on may not
/// have come yet.
fn is_allowed(accepted: &[Accepted], found: Option<f64>, before: u64) -> bool {
    let mut is_owed = false;
    for one in accepted.iter().rev() {
        if found.is_some_and(|found| found.to_bits() == one.value.to_bits()) {
            return true;
        }
        if !one.at_risk && !one.is_unread && one.number < before {
            if !one.is_order_at_risk {
                return false;
            }
            is_owed = true;
        }
    }
    found.is_none() && !is_owed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(timestamp: u32, value: f64) -> Point {
        Point { timestamp, value }
    }

    /// All of a first archive that reaches further than the tests do.
    const ALL: Asked = Asked {
        before: u64::MAX,
        now_s: 60,
        first_s: 600,
    };

    #[test]
    fn the_last_value_that_no_crash_may_have_taken_stands() {
        let mut oracle = Oracle::default();
        oracle.accept(1, point(60, 1.0), (10, 60));
        oracle.accept(1, point(60, 2.0), (20, 60));
        oracle.accept(1, point(60, 3.0), (30, 60));
        oracle.crash(25, 25);
        let check = |oracle: &Oracle, value: Option<f64>| {
            let found = value.map(|value| (60, value)).into_iter().collect();
            oracle.check(1, &found, &ALL).is_ok()
        };
        assert!(check(&oracle, Some(3.0)) && check(&oracle, Some(2.0)));
        assert!(!check(&oracle, Some(1.0)) && !check(&oracle, None));
        oracle.accept(1, point(60, 4.0), (40, 60));
        assert!(check(&oracle, Some(4.0)) && !check(&oracle, Some(3.0)));
        assert!(
            oracle
                .check(1, &BTreeMap::from([(60, 4.0), (61, 4.0)]), &ALL)
                .is_err()
        );
        let early = BTreeMap::from([(60, 3.0)]);
        assert!(
            oracle.check(1, &early, &Asked { before: 3, ..ALL }).is_ok(),
            "the fourth may not have come"
        );
    }

    #[test]
    fn what_a_crash_may_have_taken_need_not_be_there() {
        let mut oracle = Oracle::default();
        oracle.accept(2, point(5, 1.0), (10, 60));
        oracle.crash(5, 5);
        assert!(oracle.check(2, &BTreeMap::new(), &ALL).is_ok());
        assert!(oracle.check(2, &BTreeMap::from([(5, 1.0)]), &ALL).is_ok());
        assert!(oracle.check(2, &BTreeMap::from([(5, 1.5)]), &ALL).is_err());
    }

    #[test]
    fn what_lost_its_order_is_there_all_the_same() {
        let mut oracle = Oracle::default();
        oracle.accept(2, point(5, 1.0), (10, 60));
        oracle.accept(2, point(5, 2.0), (20, 60));
        oracle.forget_order_since(15);
        let check = |value: Option<f64>| {
            let found = value.map(|value| (5, value)).into_iter().collect();
            oracle.check(2, &found, &ALL).is_ok()
        };
        assert!(check(Some(2.0)) && check(Some(1.0)));
        assert!(!check(None) && !check(Some(3.0)));
    }

    #[test]
    fn what_could_not_be_read_is_missing_where_no_file_has_it() {
        let mut oracle = Oracle::default();
        for (second, value) in [(5, 1.0), (6, 2.0), (7, 3.0)] {
            oracle.accept(2, point(second, value), (10 * u64::from(second), 60));
        }
        let in_file = BTreeMap::from([(5, 1.0)]);
        oracle.may_be_unread(2, &in_file, 70);
        let found = BTreeMap::from([(5, 1.0), (7, 3.0)]);
        let asked = Asked { first_s: 1, ..ALL };
        assert!(oracle.check(2, &found, &ALL).is_ok());
        assert!(oracle.check(2, &BTreeMap::from([(7, 3.0)]), &ALL).is_err());
        assert!(oracle.check(2, &in_file, &ALL).is_err(), "it came later");
        assert_eq!(oracle.unread(2, &found, &asked).count(), 0, "out of reach");
        let asked = Asked {
            now_s: 7,
            first_s: 4,
            ..ALL
        };
        assert_eq!(oracle.unread(2, &found, &asked).collect::<Vec<_>>(), [6]);
        oracle.forget_unread();
        assert_eq!(oracle.unread(2, &found, &asked).count(), 0);
        assert!(oracle.check(2, &found, &ALL).is_ok());
    }

    #[test]
    fn what_was_pledged_is_to_be_there() {
        let mut oracle = Oracle::default();
        let shown = BTreeMap::from([(5, 1.0)]);
        oracle.accept(2, point(5, 1.0), (10, 60));
        oracle.pledge(2, &shown);
        oracle.crash(5, 5);
        assert!(oracle.check(2, &BTreeMap::new(), &ALL).is_err());
        assert!(oracle.check(2, &shown, &ALL).is_ok());
    }

    #[test]
    fn a_query_never_goes_back() {
        let mut oracle = Oracle::default();
        oracle.accept(2, point(5, 1.0), (10, 60));
        oracle.accept(2, point(5, 2.0), (10, 60));
        let (older, newer) = (BTreeMap::from([(5, 1.0)]), BTreeMap::from([(5, 2.0)]));
        assert!(oracle.show(2, &older, 1).is_ok());
        assert!(oracle.show(2, &newer, 3).is_ok());
        assert!(oracle.show(2, &older, 2).is_ok(), "asked before that");
        assert!(oracle.show(2, &older, 4).is_err());
        oracle.crash(0, 0);
        assert!(oracle.show(2, &older, 5).is_ok());
    }

    #[test]
    fn of_old_points_those_may_stand_that_no_later_one_follows() {
        let mut oracle = Oracle::default();
        for (number, (timestamp, value)) in (0..).zip([(63, 1.0), (61, 2.0), (62, 3.0)]) {
            oracle.accept(1, point(timestamp, value), (number, 1_000));
        }
        let last = |first_s, since_ms| oracle.last_of(1, (60, 119), (first_s, since_ms));
        assert_eq!(last(600, 0), Some(vec![3.0, 1.0]));
        assert_eq!(last(600, 1), Some(vec![3.0]));
        assert_eq!(last(600, 3), None, "nothing came since");
        assert_eq!(last(937, 0), None, "one is in the first archive");
        assert_eq!(oracle.hull(1, (60, 119), 937), Some((1.0, 1.0)));
        assert!(
            oracle
                .check_ages(1, &BTreeMap::from([(61, 2.0)]), 938)
                .is_err()
        );
    }

    #[test]
    fn what_the_first_archive_does_not_reach_is_not_asked_for() {
        let mut oracle = Oracle::default();
        oracle.accept(1, point(60, 1.0), (0, 60));
        oracle.accept(1, point(160, 2.0), (0, 160));
        let asked = |now_s| Asked {
            before: u64::MAX,
            now_s,
            first_s: 100,
        };
        let nothing = BTreeMap::new();
        assert!(oracle.check(1, &nothing, &asked(159)).is_err());
        // The second that is a lap younger may have lost its slot to the first.
        assert!(oracle.check(1, &nothing, &asked(160)).is_ok());
    }
}
