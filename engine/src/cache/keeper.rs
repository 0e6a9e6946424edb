//! What the accounts of a shard's points tell its journal, and what a replay may not overrule.
//! Every point that enters the cache is noted, every one that leaves it is noted as written, so that
//! the journal owes what the cache holds, never less. Without a journal nothing here does anything.
//! While an earlier run's points come back, those received now are remembered by their second: they
//! were received later and win, whatever comes back afterwards.

use hashbrown::HashSet;

use super::flight::LeftBehind;
use super::series_set::SeriesSet;
use super::{Cache, Insert, SeriesId};
use crate::journal::entry::CUT_NONE;
use crate::journal::{Journal, Part};
use crate::limits::UNLINKED_PER_TURN_MAX;
use crate::point::Point;

/// The journal, if there is one.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    journal: Option<Box<Journal>>,
    /// Points up to this second may be among those that earlier epochs owe; 0: they owe nothing.
    recalled_until: u32,
    /// Series and seconds received since the start, while earlier epochs owe points.
    live: HashSet<(SeriesId, u32), foldhash::fast::FixedState>,
    /// Series with such seconds, which are not to be forgotten meanwhile, by a link.
    linked: SeriesSet,
    /// The same of those that cannot have one link more.
    unlinked: SeriesSet,
    /// Series with unwritten points that came back.
    late: SeriesSet,
    /// Those of them of which points came back since the last take.
    untaken: SeriesSet,
    /// All series of which unwritten points came back in this run.
    came_back: SeriesSet,
}

impl Keeper {
    pub(super) fn new(journal: Option<Journal>) -> Keeper {
        Keeper {
            journal: journal.map(Box::new),
            ..Keeper::default()
        }
    }

    pub(super) fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    pub(super) fn journal_mut(&mut self) -> Option<&mut Journal> {
        self.journal.as_deref_mut()
    }

    /// May no point be taken before the journal has got on?
    #[inline]
    pub(super) fn is_congested(&self) -> bool {
        self.journal.as_ref().is_some_and(|it| it.is_congested())
    }

    /// May no point of an earlier run be taken before the journal has got on?
    pub(super) fn is_congested_for_copies(&self) -> bool {
        let journal = self.journal.as_ref();
        journal.is_some_and(|it| it.is_congested_for_copies())
    }

    /// Asks for what noting a point of a series looks up.
    #[inline]
    pub(super) fn fetch(&self, id: SeriesId) {
        if let Some(journal) = &self.journal {
            journal.fetch(id);
        }
    }

    /// A point was received and cached under a number that stood for its series before.
    #[inline]
    pub(super) fn note(&mut self, cache: &mut Cache, id: SeriesId, point: Point) {
        if let Some(journal) = &mut self.journal {
            journal.point(id, || cache.name(id), point);
        }
        if point.timestamp <= self.recalled_until {
            self.remember(cache, id, point.timestamp);
        }
    }

    #[cold]
    fn remember(&mut self, cache: &mut Cache, id: SeriesId, timestamp: u32) {
        self.live.insert((id, timestamp));
        if self.linked.contains(id) {
            return;
        }
        // One that cannot have another link is kept by those that it has, for now.
        if cache.link(id) {
            self.linked.insert(id);
            self.unlinked.remove(id);
        } else {
            self.unlinked.insert(id);
        }
    }

    /// The first point of a new series was received, under this name: who noted it has the name at
    /// hand, and reading it from where it was just put down would wait until that is done.
    pub(super) fn note_new(&mut self, cache: &mut Cache, id: SeriesId, name: &str, point: Point) {
        self.rename(id);
        if let Some(journal) = &mut self.journal {
            journal.point(id, || name, point);
        }
        if point.timestamp <= self.recalled_until {
            self.remember(cache, id, point.timestamp);
        }
    }

    /// A point of a series that was there was received, with this outcome.
    pub(super) fn note_insert(&mut self, cache: &mut Cache, insert: Insert, point: Point) {
        match insert {
            Insert::New(id) => unreachable!("{id:?} is new: its name is known to who put it in"),
            Insert::Woke(id) | Insert::Added(id) | Insert::Superseded(id) => {
                self.note(cache, id, point);
            }
            Insert::Refused(_) => {}
        }
    }

    /// The first point of a new series came back and was cached: as `note_new`, with its age.
    pub(super) fn note_recalled_new(
        &mut self,
        cache: &Cache,
        id: SeriesId,
        name: &str,
        (point, age_s): (Point, u32),
    ) {
        self.rename(id);
        if let Some(journal) = &mut self.journal {
            journal.copy(id, || name, point, age_s);
        }
        self.note_late(cache, id);
    }

    /// A point of a series that was there came back and was cached: it is noted with its age.
    pub(super) fn note_recalled(
        &mut self,
        cache: &Cache,
        insert: Insert,
        point: Point,
        age_s: u32,
    ) {
        let id = insert.series();
        if let (Some(journal), false) = (&mut self.journal, matches!(insert, Insert::Refused(_))) {
            journal.copy(id, || cache.name(id), point, age_s);
        }
        self.note_late(cache, id);
    }

    fn note_late(&mut self, cache: &Cache, id: SeriesId) {
        if cache.owes(id) {
            self.late.insert(id);
            self.untaken.insert(id);
            self.came_back.insert(id);
        }
    }

    /// The points of a series are taken; those behind a cut stay late by the cut.
    pub(super) fn note_taken(&mut self, id: SeriesId) {
        self.untaken.remove(id);
    }

    /// Points of a series are noted once more. Those that earlier epochs owe yet stay copies: as points
    /// of this epoch they would come back behind later ones of theirs.
    pub(super) fn note_again(&mut self, cache: &Cache, id: SeriesId, points: &[Point], age_s: u32) {
        let (received, came_back): (Vec<Point>, Vec<Point>) = points.iter().partition(|point| {
            point.timestamp > self.recalled_until || self.is_overruled(id, point.timestamp)
        });
        if let Some(journal) = &mut self.journal {
            for point in came_back {
                journal.copy(id, || cache.name(id), point, age_s);
            }
            journal.carry(id, cache.name(id), &received, age_s);
        }
    }

    /// Has a series unwritten points that came back?
    pub(super) fn is_late(&self, id: SeriesId) -> bool {
        self.late.contains(id)
    }

    /// Did unwritten points of a series come back in this run, written by now or not?
    pub(super) fn has_come_back(&self, id: SeriesId) -> bool {
        self.came_back.contains(id)
    }

    /// The number stands for another series from now on.
    fn rename(&mut self, id: SeriesId) {
        self.late.remove(id);
        self.came_back.remove(id);
        self.untaken.remove(id);
        if let Some(journal) = &mut self.journal {
            journal.forget(id);
        }
        if self.unlinked.contains(id) {
            self.unlinked.remove(id);
            self.live.retain(|(series, _)| *series != id);
        }
    }

    /// Series are forgotten: what was written of their names is of no more use. One whose number stands for
    /// another by now was renamed.
    pub(super) fn forget(&mut self, cache: &Cache) {
        if let Some(journal) = &mut self.journal {
            let gone = cache.forgotten().iter().filter(|id| !cache.is_known(**id));
            gone.for_each(|id| journal.forget(*id));
        }
    }

    /// What a take remembers.
    pub(super) fn mark(&self) -> u64 {
        self.journal.as_ref().map_or(0, |journal| journal.serial())
    }

    /// The points of a series that were taken are written, those left behind excepted; or all were
    /// given up.
    pub(super) fn note_written(&mut self, cache: &Cache, id: SeriesId, left: Option<LeftBehind>) {
        let is_of_this_run = |left: LeftBehind| left.cut.is_none() && !self.untaken.contains(id);
        if left.is_none_or(is_of_this_run) {
            self.late.remove(id);
            self.untaken.remove(id);
        }
        if let Some(journal) = &mut self.journal {
            let part = left.map(|left| Part {
                serial: left.mark,
                cut: left.cut.unwrap_or(CUT_NONE),
            });
            journal.written(id, cache.name(id), part);
        }
    }

    /// Points up to this second may come back from now on.
    pub(super) fn begin_recall(&mut self, until: u32) {
        self.recalled_until = until;
    }

    /// Nothing comes back any more, and earlier epochs owe nothing. Lets go of a bounded number of
    /// links; called again, of more.
    pub(super) fn end_recall(&mut self, cache: &mut Cache) {
        if self.recalled_until > 0 {
            self.recalled_until = 0;
            self.live = HashSet::default();
            self.unlinked = SeriesSet::default();
        }
        for _ in 0..UNLINKED_PER_TURN_MAX {
            let Some(id) = self.linked.pop() else {
                return;
            };
            cache.unlink(id);
        }
    }

    /// Was a point of this second received since the start?
    pub(super) fn is_overruled(&self, id: SeriesId, timestamp: u32) -> bool {
        !self.live.is_empty() && self.live.contains(&(id, timestamp))
    }

    /// Bytes of what is remembered here, the journal's included. Asked for all the time.
    pub(super) fn bytes(&self) -> u64 {
        let journal = self.journal.as_ref();
        let of_links = [&self.linked, &self.unlinked];
        let of_points = [&self.late, &self.untaken, &self.came_back];
        let sets = of_links.into_iter().chain(of_points);
        let sets: usize = sets.map(SeriesSet::bytes).sum();
        let own = self.live.allocation_size() + sets;
        journal.map_or(0, |journal| journal.memory_bytes()) + own as u64
    }
}
