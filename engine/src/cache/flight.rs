//! Points on their way into their file.
//! While in flight they stay cached and visible; new points of the series gather beside them, and
//! the series is not chosen again before they have landed. Once written they are recent; where the
//! write failed they are cached again, except those of seconds that were sent again meanwhile.
//! An update may take a part of the points only (`cut`), and no more than it can read for
//! (`unfinished`); what is left behind stays cached.

use std::time::Instant;

use super::cut::Cut;
use super::due::Due;
use super::points::{Put, Run};
use super::recent::Landing;
use super::{Cache, Hands, SeriesId, Standing};
use crate::limits::LAST_LET_GO_PER_UPDATE_MAX;
use crate::point::Point;

/// What an update took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    run: Run,
    /// The second of the take.
    taken_at: u32,
    terms: Terms,
}

/// On what terms an update took them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How many it might take.
    pub(super) points_max: u32,
    /// Where the points end, if others were left behind.
    pub(super) cut: Option<Cut>,
    /// What the taker remembers of the moment.
    mark: u64,
}

/// That an update did not take all points of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftBehind {
    /// What the taker remembers of the moment of the take.
    pub(super) mark: u64,
    /// Points of this timestamp and later were left behind; those that came since besides.
    pub(super) cut: Option<u32>,
}

impl Flight {
    /// How many points.
    pub(super) fn len(&self) -> u32 {
        self.run.len()
    }

    /// The second of the take.
    pub(super) fn taken_at(&self) -> u32 {
        self.taken_at
    }

    /// The taker remembers this from now on.
    pub(super) fn set_mark(&mut self, mark: u64) {
        self.terms.mark = mark;
    }

    /// The points.
    pub(super) fn run(&self) -> &Run {
        &self.run
    }
}

impl Cache {
    /// Takes all cached points of a writable series for a write and adds them to `out`, sorted by
    /// time. They are in flight until `written` or `put_back`.
    pub fn take(&mut self, id: SeriesId, out: &mut Vec<Point>) {
        let terms = Terms {
            points_max: u32::MAX,
            cut: None,
            mark: 0,
        };
        self.take_until(id, terms, out);
    }

    /// The same for an update of a file whose second archive has this step: with the order `deadline`
    /// the points end where a slot of that archive does, if that is of use, and with every order where
    /// they are as many as an update takes (see `cut`). `mark` is what `left_behind` gives back.
    pub(super) fn take_whole(
        &mut self,
        id: SeriesId,
        step_s: Option<u32>,
        mark: u64,
        out: &mut Vec<Point>,
    ) {
        self.assert_known(id);
        let cut = step_s.and_then(|step_s| self.cut(id.0, step_s));
        let points_max = self.unfinished.points_max(id.0);
        let full = self.full_cut(id.0, points_max);
        let is_earlier = |full: &Cut| cut.is_none_or(|cut| full.at < cut.at);
        let terms = Terms {
            points_max,
            cut: full.filter(is_earlier).or(cut),
            mark,
        };
        self.take_until(id, terms, out);
    }

    /// What the update in flight of a series does not have of its points; None where it has all.
    pub(super) fn left_behind(&self, id: SeriesId) -> Option<LeftBehind> {
        let flight = &self.flights[&id.0];
        (self.cached_len(id.0) > 0).then(|| LeftBehind {
            mark: flight.terms.mark,
            cut: flight.terms.cut.map(|cut| cut.at),
        })
    }

    fn take_until(&mut self, id: SeriesId, terms: Terms, out: &mut Vec<Point>) {
        self.assert_known(id);
        let id = id.0;
        let record = &self.table.records()[id];
        assert!(
            record.standing == Standing::Writable,
            "series {id} is {:?}",
            record.standing
        );
        assert!(
            record.hands == Hands::Ours,
            "series {id} is {:?}",
            record.hands
        );
        assert!(self.cached_len(id) > 0, "series {id} has nothing to write");
        self.count_choice(id);
        self.unlist(id);
        self.unfinished.begin(id, self.volumes.of(id));
        let record = &mut self.table.records_mut()[id];
        record.hands = Hands::InFlight;
        let run = if let Some(Cut { at, since: None }) = terms.cut {
            self.blocks.detach_before(id, &mut record.cached, (at, out))
        } else {
            let rest = terms
                .cut
                .map(|cut| self.blocks.split(id, &mut record.cached, cut.at));
            let run = self.blocks.detach(id, &mut record.cached, out);
            for point in rest.into_iter().flatten() {
                self.blocks.append(id, &mut record.cached, point);
            }
            run
        };
        record.has_late &= self.blocks.has_late(id);
        assert!(run.len() > 0, "series {id} is cut before its first point");
        if self.orders.is_deadline() {
            record.set_due(Due {
                is_whole: false,
                ..record.due()
            });
        }
        self.points_in_flight += u64::from(run.len());
        let flight = Flight {
            run,
            taken_at: self.ages.present(),
            terms,
        };
        let before = self.flights.insert(id, flight);
        assert!(before.is_none(), "series {id} was in flight");
    }

    /// The points of a series that were in flight are in its file. They leave the cache and stay
    /// answerable for a while. Says how many.
    pub fn written(&mut self, id: SeriesId, now: Instant) -> u32 {
        let flight = self.land(id);
        let id = id.0;
        let run = flight.run;
        let count = run.len();
        self.points -= u64::from(count);
        if self.cached_len(id) == 0 {
            self.sleep(id);
        } else {
            self.go_on(id, flight.taken_at, flight.terms);
        }
        self.forget_last(id);
        let record = &mut self.table.records_mut()[id];
        let landing = Landing {
            series: id,
            run,
            before: record.recent,
        };
        record.recent = self.recent.push(&self.blocks, landing, now);
        self.settle(id);
        self.let_go(now, LAST_LET_GO_PER_UPDATE_MAX);
        count
    }

    /// The points of a series that were in flight could not be written: they are cached again, as
    /// if they had just come. Says how many were superseded by points of the same second that came
    /// meanwhile.
    pub fn put_back(&mut self, id: SeriesId) -> u32 {
        let run = self.land(id).run;
        let id = id.0;
        self.note_whole(id);
        let newer = self.cached_len(id);
        if let Some(rank) = self.orders.rank(newer == 0) {
            self.table[id].enter(rank);
        }
        let superseded = match newer {
            0 => {
                self.table.records_mut()[id].cached = self.blocks.attach(id, run);
                0
            }
            _ => self.merge(id, run),
        };
        self.points -= u64::from(superseded);
        self.settle(id);
        superseded
    }

    /// The same, and the update that follows takes so many of the oldest points at most: those
    /// that were in flight were more than it could read for.
    pub fn put_back_for_fewer(&mut self, id: SeriesId, points_max: u32) -> u32 {
        let volume = self.volumes.of(id.0);
        self.unfinished.note(id.0, volume, points_max);
        self.put_back(id)
    }

    /// Puts the points of a run behind those that came later. Says how many were superseded.
    fn merge(&mut self, id: u32, run: Run) -> u32 {
        let mut points = Vec::new();
        self.blocks.read(&run, &mut points);
        self.blocks.release(run);
        let record = &mut self.table.records_mut()[id];
        record.has_late = false;
        let newer = self.blocks.detach(id, &mut record.cached, &mut points);
        self.blocks.release(newer);
        let all = points.len();
        super::keep_latest(&mut points, 0);
        for point in &points {
            let put = self.blocks.put(id, &mut record.cached, *point);
            assert!(
                put == Put::Added,
                "second {} is there twice",
                point.timestamp
            );
        }
        crate::names::slab::number(all - points.len())
    }

    fn land(&mut self, id: SeriesId) -> Flight {
        self.assert_known(id);
        let Some(flight) = self.flights.remove(&id.0) else {
            unreachable!("{id:?} is not in flight");
        };
        if self.flights.len() < self.flights.capacity() / 8 {
            self.flights.shrink_to(self.flights.len() * 2);
        }
        self.points_in_flight -= u64::from(flight.len());
        self.table.records_mut()[id.0].hands = Hands::Ours;
        flight
    }
}
