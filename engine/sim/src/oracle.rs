//! What must be there: every value that was accepted, second by second, and whether a crash may
//! have taken it.
//! Of the values of one second the last accepted one stands, where no crash may have taken it; one
//! that a crash may have taken stands or does not. Nothing else may ever be seen.

use std::collections::BTreeMap;

use benzene_engine::point::Point;

/// A value that was accepted.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    value: f64,
    /// Milliseconds since the world began.
    at_ms: u64,
    /// Its place among all values.
    number: u64,
    /// A crash or a drop that is allowed may have taken it.
    at_risk: bool,
    /// An earlier value of its second may stand instead of it.
    is_order_at_risk: bool,
    /// A query has shown it under a promise that no crash takes it.
    is_pledged: bool,
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
    pub(crate) fn accept(&mut self, metric: usize, point: Point, at_ms: u64) {
        let slot = self.slots.entry((metric, point.timestamp)).or_default();
        slot.push(Accepted {
            value: point.value,
            at_ms,
            number: self.accepted,
            at_risk: false,
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

    /// Was a value of these seconds accepted so shortly before a crash that it may be gone?
    pub(crate) fn is_at_risk(&self, metric: usize, first: u32, last: u32) -> bool {
        let slots = self.slots.range((metric, first)..=(metric, last));
        let mut values = slots.flat_map(|(_, slot)| slot);
        values.any(|value| value.at_risk || value.is_order_at_risk)
    }

    /// How many values were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Compares what is there of a metric, one point a second; says what is wrong.
    pub(crate) fn check(&self, metric: usize, found: &BTreeMap<u32, f64>) -> Result<(), String> {
        self.check_before(metric, found, u64::MAX)
    }

    /// The same with values from this number on, which may be there or not.
    pub(crate) fn check_before(
        &self,
        metric: usize,
        found: &BTreeMap<u32, f64>,
        before: u64,
    ) -> Result<(), String> {
        let slots = self.slots.range((metric, 0)..=(metric, u32::MAX));
        for ((_, timestamp), accepted) in slots {
            let found = found.get(timestamp).copied();
            if !is_allowed(accepted, found, before) {
                return Err(format!(
                    "metric {metric} has {found:?} at {timestamp}, accepted were {accepted:?}"
                ));
            }
        }
        self.check_origin(metric, found)
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
        if !one.at_risk && one.number < before {
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

    #[test]
    fn the_last_value_that_no_crash_may_have_taken_stands() {
        let mut oracle = Oracle::default();
        oracle.accept(1, point(60, 1.0), 10);
        oracle.accept(1, point(60, 2.0), 20);
        oracle.accept(1, point(60, 3.0), 30);
        oracle.crash(25, 25);
        let check = |oracle: &Oracle, value: Option<f64>| {
            let found = value.map(|value| (60, value)).into_iter().collect();
            oracle.check(1, &found).is_ok()
        };
        assert!(check(&oracle, Some(3.0)) && check(&oracle, Some(2.0)));
        assert!(!check(&oracle, Some(1.0)) && !check(&oracle, None));
        oracle.accept(1, point(60, 4.0), 40);
        assert!(check(&oracle, Some(4.0)) && !check(&oracle, Some(3.0)));
        assert!(
            oracle
                .check(1, &BTreeMap::from([(60, 4.0), (61, 4.0)]))
                .is_err()
        );
        let early = BTreeMap::from([(60, 3.0)]);
        assert!(
            oracle.check_before(1, &early, 3).is_ok(),
            "the fourth may not have come"
        );
    }

    #[test]
    fn what_a_crash_may_have_taken_need_not_be_there() {
        let mut oracle = Oracle::default();
        oracle.accept(2, point(5, 1.0), 10);
        oracle.crash(5, 5);
        assert!(oracle.check(2, &BTreeMap::new()).is_ok());
        assert!(oracle.check(2, &BTreeMap::from([(5, 1.0)])).is_ok());
        assert!(oracle.check(2, &BTreeMap::from([(5, 1.5)])).is_err());
    }

    #[test]
    fn what_lost_its_order_is_there_all_the_same() {
        let mut oracle = Oracle::default();
        oracle.accept(2, point(5, 1.0), 10);
        oracle.accept(2, point(5, 2.0), 20);
        oracle.forget_order_since(15);
        let check = |value: Option<f64>| {
            let found = value.map(|value| (5, value)).into_iter().collect();
            oracle.check(2, &found).is_ok()
        };
        assert!(check(Some(2.0)) && check(Some(1.0)));
        assert!(!check(None) && !check(Some(3.0)));
    }

    #[test]
    fn what_was_pledged_is_to_be_there() {
        let mut oracle = Oracle::default();
        let shown = BTreeMap::from([(5, 1.0)]);
        oracle.accept(2, point(5, 1.0), 10);
        oracle.pledge(2, &shown);
        oracle.crash(5, 5);
        assert!(oracle.check(2, &BTreeMap::new()).is_err());
        assert!(oracle.check(2, &shown).is_ok());
    }

    #[test]
    fn a_query_never_goes_back() {
        let mut oracle = Oracle::default();
        oracle.accept(2, point(5, 1.0), 10);
        oracle.accept(2, point(5, 2.0), 10);
        let (older, newer) = (BTreeMap::from([(5, 1.0)]), BTreeMap::from([(5, 2.0)]));
        assert!(oracle.show(2, &older, 1).is_ok());
        assert!(oracle.show(2, &newer, 3).is_ok());
        assert!(oracle.show(2, &older, 2).is_ok(), "asked before that");
        assert!(oracle.show(2, &older, 4).is_err());
        oracle.crash(0, 0);
        assert!(oracle.show(2, &older, 5).is_ok());
    }
}
