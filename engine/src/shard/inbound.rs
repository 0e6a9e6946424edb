//! What the route numbers of another shard mean here: which series their points go to.
//! A series stays while a route leads to it (`Ledger::link`), so that a point under a number needs
//! no name. The few metrics that more routes lead to than a series can count are kept by name.

use std::hint::black_box;

use hashbrown::HashMap;

use super::SeriesId;
use super::message::RoutePoint;
use super::routes::RouteId;
use crate::cache::Ledger;

/// No series.
const NONE: u32 = u32::MAX;

/// Series whose numbers differ by less have their records in one page of memory.
const NEIGHBOURS: u32 = 64;

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead<'a> {
    /// To a linked series.
    Series(SeriesId),
    /// To the metric of this canonical name.
    Name(&'a str),
}

/// The routes of one other shard that lead here.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// By route: the series.
    series: Vec<u32>,
    /// The names of metrics whose series could not be linked.
    by_name: HashMap<u32, Box<str>, foldhash::fast::FixedState>,
    name_bytes: usize,
}

impl Inbound {
    /// From now on a route leads there.
    pub(super) fn begin(&mut self, route: RouteId, lead: Lead<'_>) {
        let series = match lead {
            Lead::Series(series) => series.0,
            Lead::Name(name) => {
                self.name_bytes += name.len();
                self.by_name.insert(route.0, name.into());
                NONE
            }
        };
        let index = route.0 as usize;
        if self.series.len() <= index {
            self.series.resize(index + 1, NONE);
        }
        assert!(self.series[index] == NONE, "{route:?} begins twice");
        self.series[index] = series;
    }

    /// Where a route leads that has begun.
    #[inline]
    pub(super) fn follow(&self, route: RouteId) -> Lead<'_> {
        match self.series.get(route.0 as usize) {
            Some(series) if *series != NONE => Lead::Series(SeriesId(*series)),
            Some(_) | None => Lead::Name(&self.by_name[&route.0]),
        }
    }

    /// Brings near what the next points will touch, all at once, where their series lie apart: those
    /// of a repeated order lie side by side, and the processor foresees them itself.
    #[inline]
    pub(super) fn warm(&self, points: &[RoutePoint], ledger: &Ledger) {
        let series = |point: &RoutePoint| self.series.get(point.route.0 as usize).copied();
        let mut apart = 0;
        for (one, next) in points.iter().zip(points.iter().skip(1)) {
            let (Some(one), Some(next)) = (series(one), series(next)) else {
                return;
            };
            apart += usize::from(one.abs_diff(next) > NEIGHBOURS);
        }
        if apart * 2 > points.len() {
            let touched = points.iter().filter_map(series);
            black_box(touched.fold(0, |all, id| all ^ ledger.touch_points(SeriesId(id))));
        }
    }

    /// A route leads here no more. The series that it led to, to be unlinked.
    pub(super) fn end(&mut self, route: RouteId) -> Option<SeriesId> {
        let series = match self.series.get_mut(route.0 as usize) {
            Some(series) => std::mem::replace(series, NONE),
            None => NONE,
        };
        while self.series.last() == Some(&NONE) {
            self.series.pop();
        }
        if self.series.len() < self.series.capacity() / 4 {
            self.series.shrink_to(self.series.len() * 2);
        }
        if series != NONE {
            return Some(SeriesId(series));
        }
        if let Some(name) = self.by_name.remove(&route.0) {
            self.name_bytes -= name.len();
        }
        None
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let table = self.series.capacity() * size_of::<u32>();
        table + self.by_name.allocation_size() + self.name_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_lead_to_series_or_names_until_they_end() {
        let mut inbound = Inbound::default();
        inbound.begin(RouteId(5), Lead::Series(SeriesId(7)));
        inbound.begin(RouteId(9), Lead::Name("a.b"));
        assert_eq!(inbound.follow(RouteId(5)), Lead::Series(SeriesId(7)));
        assert_eq!(inbound.follow(RouteId(9)), Lead::Name("a.b"));
        assert!(inbound.bytes() >= 10 * 4 + 3);
        assert_eq!(inbound.end(RouteId(5)), Some(SeriesId(7)));
        assert_eq!(inbound.follow(RouteId(9)), Lead::Name("a.b"));
        assert_eq!(inbound.end(RouteId(9)), None);
        inbound.begin(RouteId(9), Lead::Series(SeriesId(1)));
        assert_eq!(inbound.follow(RouteId(9)), Lead::Series(SeriesId(1)));
        assert_eq!(
            (inbound.end(RouteId(9)), inbound.series.len()),
            (Some(SeriesId(1)), 0)
        );
    }
}
