//! How the points of a fine archive become one point of the next coarser one.
//! Follows Python's `whisper.aggregate` to the bit: sums run left to right from 0.0, `max` and
//! `min` keep the first of equals and are blind to a NaN that does not come first, `absmax` and
//! `absmin` return the value with its sign.
//! Never stores the values: one pass, oldest first.
//! An unknown number or name is `None`: the caller says what that means where it read it.

/// The aggregation method of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// Mean of the known values.
    Average = 1,
    /// Sum of the known values.
    Sum = 2,
    /// The newest known value.
    Last = 3,
    /// The largest known value.
    Max = 4,
    /// The smallest known value.
    Min = 5,
    /// Mean over all slots, unknown ones counted as zero.
    AvgZero = 6,
    /// The known value furthest from zero, with its sign.
    AbsMax = 7,
    /// The known value nearest to zero, with its sign.
    AbsMin = 8,
}

impl Aggregation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Average,
        Self::Sum,
        Self::Last,
        Self::Max,
        Self::Min,
        Self::AvgZero,
        Self::AbsMax,
        Self::AbsMin,
    ];

    /// The method with this number in a file's header (Python whisper 1.1.10's
    /// `aggregationTypeToMethod`).
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.id() == id)
    }

    /// Its number in a file's header.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// The method with this name in storage-aggregation.conf.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Its name, as Python whisper spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::Sum => "sum",
            Self::Last => "last",
            Self::Max => "max",
            Self::Min => "min",
            Self::AvgZero => "avg_zero",
            Self::AbsMax => "absmax",
            Self::AbsMin => "absmin",
        }
    }
}

/// The known values of one window, taken in oldest first.
#[derive(Debug)]
pub(super) struct Aggregate {
    method: Aggregation,
    known: u32,
    value: f64,
}

impl Aggregate {
    pub(super) fn new(method: Aggregation) -> Self {
        Self {
            method,
            known: 0,
            value: 0.0,
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        let held = self.value;
        let first = self.known == 0;
        self.known += 1;
        self.value = match self.method {
            Aggregation::Average | Aggregation::Sum | Aggregation::AvgZero => held + value,
            Aggregation::Last => value,
            Aggregation::Max if first || value > held => value,
            Aggregation::Min if first || value < held => value,
            Aggregation::AbsMax if first || value.abs() > held.abs() => value,
            Aggregation::AbsMin if first || value.abs() < held.abs() => value,
            Aggregation::Max | Aggregation::Min | Aggregation::AbsMax | Aggregation::AbsMin => held,
        };
    }

    /// The aggregated value of a window of `slots` slots, or nothing where fewer than
    /// `x_files_factor` of them are known. Python compares in 64 bits with what it read as a 32-bit
    /// float: 3 of 10 do not reach 0.3, because 0.3 as f32 is a little more.
    pub(super) fn finish(&self, slots: u32, x_files_factor: f32) -> Option<f64> {
        assert!(self.known <= slots, "{} known of {slots}", self.known);
        if self.known == 0 || f64::from(self.known) / f64::from(slots) < f64::from(x_files_factor) {
            return None;
        }
        Some(match self.method {
            Aggregation::Average => self.value / f64::from(self.known),
            Aggregation::AvgZero => self.value / f64::from(slots),
            Aggregation::Sum
            | Aggregation::Last
            | Aggregation::Max
            | Aggregation::Min
            | Aggregation::AbsMax
            | Aggregation::AbsMin => self.value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Aggregation, values: &[f64], slots: u32) -> f64 {
        let mut aggregate = Aggregate::new(method);
        for value in values {
            aggregate.add(*value);
        }
        aggregate.finish(slots, 0.0).unwrap()
    }

    #[test]
    fn numbers_and_names_are_python_s() {
        let names = Aggregation::ALL.map(Aggregation::name).join(",");
        assert_eq!(names, "average,sum,last,max,min,avg_zero,absmax,absmin");
        for (id, method) in (1..).zip(Aggregation::ALL) {
            assert_eq!(method.id(), id);
            assert_eq!(Aggregation::from_id(id), Some(method));
            assert_eq!(Aggregation::from_name(method.name()), Some(method));
        }
        assert_eq!(Aggregation::from_id(0), None);
        assert_eq!(Aggregation::from_id(9), None);
        assert_eq!(Aggregation::from_name("avg"), None);
    }

    #[test]
    fn each_method_on_one_window() {
        let values = [3.0, -7.0, 1.0, 7.0];
        let expected = [1.0, 4.0, 7.0, 7.0, -7.0, 0.5, -7.0, 1.0];
        for (method, expected) in Aggregation::ALL.into_iter().zip(expected) {
            let got = of(method, &values, 8);
            assert_eq!(got.to_bits(), f64::to_bits(expected), "{method:?}: {got}");
        }
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(
            of(Aggregation::AbsMax, &[-5.0, 5.0], 2).to_bits(),
            f64::to_bits(-5.0)
        );
        assert_eq!(
            of(Aggregation::AbsMin, &[5.0, -5.0], 2).to_bits(),
            f64::to_bits(5.0)
        );
        assert_eq!(
            of(Aggregation::Max, &[-0.0, 0.0], 2).to_bits(),
            f64::to_bits(-0.0)
        );
        assert_eq!(
            of(Aggregation::Min, &[0.0, -0.0], 2).to_bits(),
            f64::to_bits(0.0)
        );
    }

    #[test]
    fn a_nan_stays_only_where_it_came_first() {
        assert!(of(Aggregation::Max, &[f64::NAN, 1.0], 2).is_nan());
        assert_eq!(
            of(Aggregation::Max, &[1.0, f64::NAN], 2).to_bits(),
            f64::to_bits(1.0)
        );
        assert!(of(Aggregation::AbsMin, &[f64::NAN, 1.0], 2).is_nan());
        assert!(of(Aggregation::Sum, &[1.0, f64::NAN], 2).is_nan());
    }

    #[test]
    fn sums_begin_at_positive_zero() {
        assert_eq!(
            of(Aggregation::Sum, &[-0.0], 1).to_bits(),
            f64::to_bits(0.0)
        );
    }

    #[test]
    fn x_files_factor_is_a_32_bit_float_compared_in_64_bits() {
        // Which of n of 10 known reach an xFilesFactor of n/10, seen with Python whisper 1.1.10.
        let reached: Vec<u8> = (1..=10)
            .filter(|tenths| {
                let mut aggregate = Aggregate::new(Aggregation::Average);
                (0..*tenths).for_each(|_| aggregate.add(1.0));
                aggregate.finish(10, f32::from(*tenths) / 10.0).is_some()
            })
            .collect();
        assert_eq!(reached, [5, 7, 9, 10]);
    }

    #[test]
    fn nothing_known_is_nothing_even_at_x_files_factor_zero() {
        assert_eq!(Aggregate::new(Aggregation::Sum).finish(6, 0.0), None);
    }
}
