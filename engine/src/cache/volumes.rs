//! Which data directory the file of a series lies in, or will (docs/decisions/0020).
//! With one directory every series is of that one, and nothing is kept. With several a byte a series
//! says it: nobody knows until the writer has placed a new series, and where the file is not found there
//! the series goes on to the next directory.
//! Invariant: a series of which nobody knows is in the list `Place::Unplaced` or in none.

use super::{Cache, Due, Hands, Place, SeriesId, Share, Standing, Starved};
use crate::limits::VOLUMES_MAX;

/// A data directory, by its number in the list of carbon.conf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Volume(pub(super) u8);

/// Of a series that nobody has placed.
const UNPLACED: u8 = u8::MAX;
const _: () = assert!(VOLUMES_MAX < UNPLACED as usize);

impl Volume {
    /// The first directory: the only one, mostly.
    pub const FIRST: Volume = Volume(0);

    /// The directory of this number.
    pub fn new(number: usize) -> Volume {
        assert!(number < VOLUMES_MAX, "data directory {number}");
        Volume(u8::try_from(number).unwrap_or(0))
    }

    /// All of so many.
    pub fn all(count: usize) -> impl Iterator<Item = Volume> {
        (0..count).map(Volume::new)
    }

    /// Its number.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// It alone, in a set of directories.
    pub fn bit(self) -> u32 {
        1 << self.0
    }
}

/// Where series belong.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// By number of the series; stays empty with one directory.
    of: Vec<u8>,
    are_several: bool,
}

impl Volumes {
    /// There is more than one directory.
    pub(super) fn become_several(&mut self) {
        self.are_several = true;
    }

    /// The directory of a series; the first, where nobody knows.
    #[inline]
    pub(super) fn of(&self, id: u32) -> Volume {
        let known = self.of.get(id as usize).copied().unwrap_or(0);
        Volume(if known == UNPLACED { 0 } else { known })
    }

    /// Does somebody know it?
    pub(super) fn is_placed(&self, id: u32) -> bool {
        !self.are_several || self.of[id as usize] != UNPLACED
    }

    /// A new series has this number.
    pub(super) fn begin(&mut self, id: u32) {
        self.set(id, UNPLACED);
    }

    fn set(&mut self, id: u32, volume: u8) {
        if !self.are_several {
            return;
        }
        let index = id as usize;
        if self.of.len() <= index {
            self.of.resize(index + 1, UNPLACED);
        }
        self.of[index] = volume;
    }

    /// Bytes of it.
    pub(super) fn bytes(&self) -> usize {
        self.of.capacity()
    }
}

impl Cache {
    /// One data directory more: how long points for it are held, and whether what is due is written
    /// in the order in which its files lie. Only before there are series.
    pub fn add_volume(&mut self, max_point_age_s: u32, in_disk_order: bool) {
        assert!(self.table.len() == 0, "there are series");
        let count = self.orders.len() + 1;
        assert!(count <= VOLUMES_MAX, "{count} data directories");
        self.volumes.become_several();
        self.orders.add(max_point_age_s, in_disk_order);
        let strategy = self.orders.strategy();
        self.backfills
            .add_volume(strategy, max_point_age_s, in_disk_order);
        self.starved.push(Starved::new(strategy, max_point_age_s));
        self.queues.add_volume();
        self.pins.add_volume();
        self.unfinished.add_volume();
        self.shares = vec![self.shares[0].part(count); count];
    }

    /// How many data directories there are.
    pub fn volumes(&self) -> usize {
        self.orders.len()
    }

    /// The data directory of a series; the first, where nobody has placed it.
    pub fn volume(&self, id: SeriesId) -> Volume {
        self.volumes.of(id.0)
    }

    /// The series that has waited longest for somebody to say in which directory to look for it.
    pub fn unplaced(&self) -> Option<SeriesId> {
        self.queues
            .first(Place::Unplaced, Volume::FIRST)
            .map(SeriesId)
    }

    /// A series whose file is not known to be there is to be looked for, or made, in this directory.
    /// It is taken back where it was handed out, and goes to the end of the list there.
    pub fn set_volume(&mut self, id: SeriesId, volume: Volume) {
        self.assert_known(id);
        let (number, old) = (id.0, self.volumes.of(id.0));
        let standing = self.table.records()[number].standing;
        assert!(
            standing == Standing::Unproven || self.volumes() == 1,
            "{id:?} is {standing:?}, and would change its directory"
        );
        let load = self.series_load(number);
        self.unlist(number);
        if Share::counts(standing) {
            self.shares[old.index()].take(standing, load);
            self.shares[volume.index()].add(standing, load);
        }
        self.volumes.set(number, volume.0);
        let record = &mut self.table.records_mut()[number];
        record.hands = Hands::Ours;
        if self.orders.is_deadline() {
            // Classes are the order's own; which one it is is found out with the file.
            let due = record.due();
            record.set_due(Due { class: 0, ..due });
        }
        self.settle(number);
    }

    /// Points of series of a directory whose file is made as soon as there is a place.
    pub fn missing_points(&self, volume: Volume) -> u64 {
        self.shares[volume.index()].held(Standing::Missing).points
    }

    /// Points of series of a directory that wait until a limit grants their create, or whose file cannot
    /// be made or written.
    pub fn stuck_points(&self, volume: Volume) -> u64 {
        let share = &self.shares[volume.index()];
        let points = Standing::STUCK.map(|standing| share.held(standing).points);
        points.into_iter().sum()
    }
}
