//! The share of the bound that is open to points which cannot be written soon: those of series that
//! wait for their create, or whose file cannot be made, and of series whose file is parked.
//! Without it, names that never get a file would fill the cache and stop everybody else. For the same
//! reason those without a file fill three quarters of it at most, and parked ones whatever is free: a
//! file that fails for a moment is sound, and its points find room. Of these three quarters those whose
//! file cannot be made leave a third to those that wait for a create that will come.
//! Points of unproven series may be either kind: they are counted here and not bounded, and where
//! they are many (`has_many_unproven`) it is time to find out.

use super::series::Standing;
use crate::limits::{PARKED_RESERVE, UNPROVEN_SHARE, WAITING_RESERVE};

/// Points and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) points: u64,
    pub(super) bytes: u64,
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            points: self.points + other.points,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Load {
    /// What of it is left beside so much, which may be more.
    #[inline]
    fn without(self, other: Self) -> Self {
        Self {
            points: self.points.saturating_sub(other.points),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// The lesser of both, of points and of bytes.
    #[inline]
    fn least(self, other: Self) -> Self {
        Self {
            points: self.points.min(other.points),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// Is it more, in points or bytes?
    fn exceeds(self, most: Self) -> bool {
        self.points > most.points || self.bytes > most.bytes
    }
}

/// What the share holds, and its bound.
#[derive(Clone, Debug)]
pub(super) struct Share {
    unproven: Load,
    missing: Load,
    waiting: Load,
    unmade: Load,
    parked: Load,
    max: Load,
    /// The bound of all directories together.
    total: Load,
}

impl Share {
    /// An empty share.
    pub(super) fn new(max: Load) -> Self {
        Self {
            unproven: Load::default(),
            missing: Load::default(),
            waiting: Load::default(),
            unmade: Load::default(),
            parked: Load::default(),
            max,
            total: max,
        }
    }

    /// An empty share of one of so many data directories: one that fails takes nobody else's.
    pub(super) fn part(&self, count: usize) -> Self {
        let part = |max: u64| match max {
            u64::MAX => u64::MAX,
            max => (max / count as u64).max(1),
        };
        let mut share = Self::new(Load {
            points: part(self.total.points),
            bytes: part(self.total.bytes),
        });
        share.total = self.total;
        share
    }

    /// Nothing new comes any more that could fill the cache: there is no bound.
    pub(super) fn lift(&mut self) {
        self.max = Load {
            points: u64::MAX,
            bytes: u64::MAX,
        };
    }

    /// Do the points of such a series count here?
    #[inline]
    pub(super) fn counts(standing: Standing) -> bool {
        standing != Standing::Writable
    }

    /// Do they need room here?
    #[inline]
    pub(super) fn bounds(standing: Standing) -> bool {
        match standing {
            Standing::Waiting | Standing::Unmade | Standing::Parked => true,
            Standing::Unproven | Standing::Missing | Standing::Writable => false,
        }
    }

    /// What is held for series of this standing.
    pub(super) fn held(&self, standing: Standing) -> Load {
        match standing {
            Standing::Waiting => self.waiting,
            Standing::Unmade => self.unmade,
            Standing::Parked => self.parked,
            Standing::Unproven => self.unproven,
            Standing::Missing => self.missing,
            Standing::Writable => Load::default(),
        }
    }

    /// Is there room for so much more of series of this standing?
    #[inline]
    pub(super) fn has_room(&self, standing: Standing, more: Load) -> bool {
        let room = self.room(standing);
        more.points <= room.points && more.bytes <= room.bytes
    }

    /// Is more held than the bound, or more by series without a file than theirs? Then one that is given
    /// up makes room, whoever it is.
    pub(super) fn is_over_together(&self) -> bool {
        let fileless = self.fileless();
        (fileless + self.parked).exceeds(self.max) || fileless.exceeds(self.fileless_max())
    }

    /// The same, or more by those whose file cannot be made than theirs?
    pub(super) fn is_over(&self) -> bool {
        self.is_over_together() || self.unmade.exceeds(self.unmade_max())
    }

    /// How much of this others of this standing leave, whoever else makes room.
    pub(super) fn attainable(&self, standing: Standing, more: Load) -> Load {
        match standing {
            Standing::Unmade => more.least(self.unmade_max().without(self.unmade)),
            Standing::Unproven
            | Standing::Missing
            | Standing::Waiting
            | Standing::Writable
            | Standing::Parked => more,
        }
    }

    /// Do unproven series hold much, measured by the share?
    pub(super) fn has_many_unproven(&self) -> bool {
        self.unproven.points > self.max.points / UNPROVEN_SHARE
            || self.unproven.bytes > self.max.bytes / UNPROVEN_SHARE
    }

    /// The room that is left for series of this standing: those without a file do not take the last
    /// part, which is for parked ones.
    #[inline]
    pub(super) fn room(&self, standing: Standing) -> Load {
        let fileless = self.fileless();
        let free = self.max.without(fileless + self.parked);
        let own = self.fileless_max().without(fileless);
        match standing {
            Standing::Waiting => free.least(own),
            Standing::Unmade => self.attainable(standing, free.least(own)),
            Standing::Unproven | Standing::Missing | Standing::Writable | Standing::Parked => free,
        }
    }

    /// What those hold at most whose file cannot be made: others wait for a create that will come.
    fn unmade_max(&self) -> Load {
        let most = self.fileless_max();
        most.without(Load {
            points: most.points / WAITING_RESERVE,
            bytes: most.bytes / WAITING_RESERVE,
        })
    }

    /// What series hold that wait for their create, or whose file cannot be made.
    #[inline]
    fn fileless(&self) -> Load {
        self.waiting + self.unmade
    }

    /// What these hold at most.
    fn fileless_max(&self) -> Load {
        let reserve = Load {
            points: self.max.points / PARKED_RESERVE,
            bytes: self.max.bytes / PARKED_RESERVE,
        };
        self.max.without(reserve)
    }

    /// Counts what a series of this standing holds, or holds more.
    #[inline]
    pub(super) fn add(&mut self, standing: Standing, load: Load) {
        let held = self.of(standing);
        held.points += load.points;
        held.bytes += load.bytes;
    }

    /// Counts it no longer.
    pub(super) fn take(&mut self, standing: Standing, load: Load) {
        let held = self.of(standing);
        assert!(
            held.points >= load.points && held.bytes >= load.bytes,
            "{load:?} leaves a share that holds {held:?}"
        );
        held.points -= load.points;
        held.bytes -= load.bytes;
    }

    #[inline]
    fn of(&mut self, standing: Standing) -> &mut Load {
        match standing {
            Standing::Waiting => &mut self.waiting,
            Standing::Unmade => &mut self.unmade,
            Standing::Parked => &mut self.parked,
            Standing::Unproven => &mut self.unproven,
            Standing::Missing => &mut self.missing,
            Standing::Writable => {
                unreachable!("points of {standing:?} series are not in the share")
            }
        }
    }
}
