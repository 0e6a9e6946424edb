//! Resident memory over a soak: whether the last third lies above the first.
//! Seconds without a sample do not count; the time of the others is what is cut into thirds.

/// Growth from the first to the last third that still counts as flat, percent.
const GROWTH_PERCENT_MAX: u64 = 10;

/// Samples, in the order of their time.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Seconds since the begin of the soak, bytes.
    samples: Vec<(u64, u64)>,
}

/// Mean bytes of the first and of the last third of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thirds {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Thirds {
    pub(crate) fn are_flat(self) -> bool {
        let bound = u128::from(self.first) * u128::from(100 + GROWTH_PERCENT_MAX);
        u128::from(self.last) * 100 <= bound
    }
}

impl Memory {
    pub(crate) fn add(&mut self, second: u64, bytes: u64) {
        self.samples.push((second, bytes));
    }

    /// Thirds of the time from the first sample to the last. None: one has no sample.
    pub(crate) fn thirds(&self) -> Option<Thirds> {
        let begin = self.samples.first()?.0;
        let span = self.samples.last()?.0 + 1 - begin;
        let mean = |from: u64, to: u64| {
            let within = self
                .samples
                .iter()
                .filter(|(second, _)| (from..to).contains(&((second - begin) * 3)));
            let (count, sum) = within.fold((0_u64, 0_u128), |(count, sum), (_, bytes)| {
                (count + 1, sum + u128::from(*bytes))
            });
            u64::try_from(sum.checked_div(count.into())?).ok()
        };
        Some(Thirds {
            first: mean(0, span)?,
            last: mean(2 * span, u64::MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: impl Fn(u64) -> u64) -> Memory {
        let mut memory = Memory::default();
        for second in 0..90 {
            memory.add(1000 + second, bytes(second));
        }
        memory
    }

    #[test]
    fn growth_is_seen_between_the_outer_thirds_only() {
        let steady = memory(|second| if (30..60).contains(&second) { 900 } else { 100 });
        let thirds = steady.thirds().unwrap();
        assert_eq!((thirds.first, thirds.last), (100, 100));
        assert!(thirds.are_flat());
        let growing = memory(|second| 1000 + 2 * second).thirds().unwrap();
        assert_eq!((growing.first, growing.last), (1029, 1149));
        assert!(!growing.are_flat());
        assert!(memory(|second| 1000 - second).thirds().unwrap().are_flat());
    }

    #[test]
    fn a_third_without_a_sample_gives_no_verdict() {
        let mut memory = Memory::default();
        assert_eq!(memory.thirds(), None);
        memory.add(1, 100);
        assert_eq!(memory.thirds(), None);
        memory.add(100, 100);
        assert!(memory.thirds().unwrap().are_flat());
    }
}
