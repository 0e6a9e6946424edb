//! Looks for the highest rate that a disk holds, by trying: upwards or downwards from an estimate
//! until one rate is held and a higher one is not, then between the two.
//! Pure: rates go out, verdicts come in. Noise may make a verdict wrong near the edge; a wrong one
//! moves the result by about a step there, and never makes the search endless.
//! Invariant: every rate held that counts is below every rate not held that counts.

/// Factor between two rates until the edge lies between them.
const STRIDE: f64 = 1.3;

/// How exactly, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// The edge is known when the lowest rate that is not held is at most so many times the highest
    /// that is.
    pub(super) ratio: f64,
    /// Most rates that are tried.
    pub(super) probes_max: u32,
}

/// A search in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    goal: Goal,
    /// The first rate to be tried.
    estimate: f64,
    held: Option<f64>,
    not_held: Option<f64>,
    probes: u32,
}

impl Search {
    pub(super) fn new(estimate: f64, goal: Goal) -> Self {
        assert!(estimate.is_normal() && estimate > 0.0, "from {estimate}");
        assert!(goal.ratio > 1.0, "to {}", goal.ratio);
        Self {
            goal,
            estimate,
            held: None,
            not_held: None,
            probes: 0,
        }
    }

    /// The rate to be tried next. None: it is found, or it has been tried often enough.
    pub(super) fn next(&self) -> Option<f64> {
        if self.probes >= self.goal.probes_max {
            return None;
        }
        match (self.held, self.not_held) {
            (None, None) => Some(self.estimate),
            (Some(held), None) => Some(held * STRIDE),
            (None, Some(not_held)) => Some(not_held / STRIDE),
            (Some(held), Some(not_held)) => {
                (not_held > held * self.goal.ratio).then(|| (held * not_held).sqrt())
            }
        }
    }

    /// What became of a rate.
    pub(super) fn tell(&mut self, rate: f64, is_held: bool) {
        self.probes += 1;
        if is_held {
            self.held = Some(self.held.map_or(rate, |held| held.max(rate)));
            self.not_held = self.not_held.filter(|not_held| *not_held > rate);
        } else {
            self.not_held = Some(self.not_held.map_or(rate, |not_held| not_held.min(rate)));
            self.held = self.held.filter(|held| *held < rate);
        }
    }

    /// The highest rate that is held; None where none was.
    pub(super) fn found(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::mix;

    const GOAL: Goal = Goal {
        ratio: 1.1,
        probes_max: 20,
    };

    /// A disk that carries so many updates a second, and what a search finds.
    fn search(estimate: f64, goal: Goal, mut holds: impl FnMut(f64) -> bool) -> (Option<f64>, u32) {
        let mut search = Search::new(estimate, goal);
        let mut probes = 0;
        while let Some(rate) = search.next() {
            search.tell(rate, holds(rate));
            probes += 1;
            assert!(probes <= goal.probes_max, "endless");
        }
        (search.found(), probes)
    }

    /// From 0 to 1, by lot.
    fn drawn(seed: &mut u64) -> f64 {
        *seed = mix(*seed);
        f64::from(u16::try_from(*seed >> 48).unwrap()) / f64::from(u16::MAX)
    }

    #[test]
    fn what_a_disk_carries_is_found_from_wherever_one_begins() {
        let mut seed = 7;
        for _ in 0..1000 {
            let carried = 10.0 * 10_f64.powf(3.0 * drawn(&mut seed));
            let estimate = carried * 10_f64.powf(drawn(&mut seed) - 0.5);
            let (found, probes) = search(estimate, GOAL, |rate| rate <= carried);
            let found = found.unwrap();
            assert!(
                found <= carried && found * GOAL.ratio >= carried,
                "{found} of {carried}, from {estimate}"
            );
            assert!(probes <= 9, "{probes} from {estimate} to {carried}");
        }
    }

    #[test]
    fn noise_at_the_edge_moves_the_result_by_no_more_than_a_step() {
        let mut seed = 1;
        for _ in 0..1000 {
            let carried = 100.0 + 1000.0 * drawn(&mut seed);
            let estimate = carried * (0.7 + 0.6 * drawn(&mut seed));
            let (found, _) = search(estimate, GOAL, |rate| {
                rate <= carried * (0.95 + 0.1 * drawn(&mut seed))
            });
            let share = found.unwrap() / carried;
            assert!((0.8..=1.05).contains(&share), "{share} of {carried}");
        }
    }

    #[test]
    fn verdicts_that_contradict_each_other_end_the_search_all_the_same() {
        let mut seed = 3;
        for _ in 0..1000 {
            search(100.0, GOAL, |_| drawn(&mut seed) < 0.5);
        }
    }

    #[test]
    fn a_disk_that_holds_nothing_has_no_rate() {
        let goal = Goal {
            probes_max: 3,
            ..GOAL
        };
        assert_eq!(search(100.0, goal, |_| false), (None, 3));
        let (found, probes) = search(100.0, goal, |_| true);
        assert!((found.unwrap() - 169.0).abs() < 1e-9);
        assert_eq!(probes, 3);
    }
}
