//! What the route numbers of another shard mean here: which series their points go to.
//! A series stays while a route leads to it (`Ledger::link`), so that a point under a number needs
//! no name. The few metrics that more routes lead to than a series can count are kept by name.

use hashbrown::HashMap;

use super::SeriesId;
use super::message::RoutePoint;
use super::routes::RouteId;
use crate::cache::Ledger;
use crate::limits::WARMED_TOGETHER_MAX;
use crate::near::AHEAD;

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

    /// Begins the next points, of which `limits::WARMED_TOGETHER_MAX` are a group. Do their series lie
    /// apart? Those of a repeated order lie side by side, and the processor foresees them itself. Where
    /// these do and those before did not, asks for what the first points touch.
    #[inline]
    pub(super) fn begin_group(
        &self,
        points: &[RoutePoint],
        were_apart: bool,
        ledger: &Ledger,
    ) -> bool {
        // As far as `fetch_ahead` will look, so that the waits for these numbers overlap.
        let reach = points.len().min(WARMED_TOGETHER_MAX + 2 * AHEAD);
        let points = &points[..reach];
        let are_apart = self.are_apart(points);
        if are_apart && !were_apart {
            let known = |point: &RoutePoint| self.series_of(Some(point));
            for series in points.iter().take(2 * AHEAD).filter_map(known) {
                ledger.fetch_record(series);
            }
            for series in points.iter().take(AHEAD).filter_map(known) {
                ledger.fetch_points(series);
            }
        }
        are_apart
    }

    /// Asks for what points behind the first of these touch, so that it is near in their turn.
    #[inline]
    pub(super) fn fetch_ahead(&self, points: &[RoutePoint], ledger: &Ledger) {
        if let Some(series) = self.series_of(points.get(2 * AHEAD)) {
            ledger.fetch_record(series);
        }
        if let Some(series) = self.series_of(points.get(AHEAD)) {
            ledger.fetch_points(series);
        }
    }

    #[inline]
    fn are_apart(&self, points: &[RoutePoint]) -> bool {
        let series = |point: &RoutePoint| self.series.get(point.route.0 as usize).copied();
        let mut apart = 0;
        for (one, next) in points.iter().zip(points.iter().skip(1)) {
            let (Some(one), Some(next)) = (series(one), series(next)) else {
                return false;
            };
            apart += usize::from(one.abs_diff(next) > NEIGHBOURS);
        }
        apart * 2 > points.len()
    }

    /// The series of a point, where there is such a point and its route leads to a number.
    #[inline]
    fn series_of(&self, point: Option<&RoutePoint>) -> Option<SeriesId> {
        let series = *self.series.get(point?.route.0 as usize)?;
        (series != NONE).then_some(SeriesId(series))
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
    use std::sync::Arc;

    use super::*;
    use crate::cache::{Cache, CacheConfig, Strategy};
    use crate::clock;
    use crate::limiter::Room;
    use crate::point::Point;

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

    fn points(routes: impl Iterator<Item = u32>) -> Vec<RoutePoint> {
        let point = Point {
            timestamp: 1,
            value: 1.0,
        };
        let points = routes.map(|route| RoutePoint::new(RouteId(route), point));
        points.collect()
    }

    #[test]
    fn what_comes_in_no_order_is_asked_for_ahead() {
        let mut inbound = Inbound::default();
        for route in 0..200 {
            inbound.begin(RouteId(route), Lead::Series(SeriesId(route * 10)));
        }
        inbound.begin(RouteId(200), Lead::Name("a.b"));
        let cache = CacheConfig::new(Strategy::Naive, clock::now().instant);
        let room = Arc::new(Room::new(None, 1 << 20));
        let ledger = Ledger::new(Cache::new(cache), room, None);
        assert!(!inbound.begin_group(&points(0..201), false, &ledger));
        // The cache has none of these series, as if all were forgotten, and one route has no number.
        let apart = points((0..201).map(|step| step * 37 % 201));
        assert!(inbound.begin_group(&apart, false, &ledger));
        for first in 0..apart.len() {
            inbound.fetch_ahead(&apart[first..], &ledger);
        }
        assert!(!inbound.begin_group(&[], true, &ledger));
    }
}
