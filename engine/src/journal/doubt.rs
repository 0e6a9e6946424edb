//! What a failed sync of the data leaves: points that were written since the last good one may never
//! come to the disk, though the page cache shows them, and no later sync says whether they have.
//! The segments of then are kept for the next start, which writes everything again that is not known
//! to be on the disk: the heads of blocks say so in place of the mount. Where the journal comes to its
//! bound they retire one by one, oldest first, once a later sync has succeeded; that is counted.
//! Invariant: a point that was written before a failed sync ended is in a segment that is in doubt, or
//! in one that retired by a sync that had succeeded before.

use super::Journal;
use super::segments::Kept;
use crate::breaks::{self, Break};
use crate::stats::Counter;

/// In place of the mount's number: a sync of the data has failed, so that no written entry counts
/// which no mark proves.
pub const MOUNT_DOUBTFUL: u32 = 0;

impl Journal {
    /// Hears what has become of syncs of the data.
    pub(super) fn hear_of_syncs(&mut self) {
        let known = self.heard.failures;
        self.heard = self.config.data_sync.hear();
        if self.heard.failures == known || breaks::is(Break::Doubt) {
            return;
        }
        // What is in buffers yet, and may be in files already, goes into the next segment at the latest.
        self.doubtful_below = self.point_lane.upcoming + 1;
        self.has_news = true;
    }

    /// Is anything kept of which a failed sync may have lost what was written?
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_in_doubt(self.retired)
    }

    /// May what was written from a segment be lost by a failed sync?
    pub(super) fn is_in_doubt(&self, segment: u32) -> bool {
        segment < self.doubtful_below
    }

    /// What heads say of the data's mount.
    pub(super) fn mount(&self) -> u32 {
        if self.is_doubtful() {
            MOUNT_DOUBTFUL
        } else {
            self.config.mount
        }
    }

    /// Must a segment stay that would retire otherwise? At the bound one at a time goes.
    pub(super) fn is_kept_in_doubt(&self, kept: &Kept) -> bool {
        let has_room = self.point_lane.has_next()
            || !self.free.is_empty()
            || !self.limbo.is_empty()
            || self.point_files() < self.point_files_max();
        self.is_in_doubt(kept.segment) && has_room
    }

    /// Segments in doubt that are kept.
    pub(super) fn doubtful_segments(&self) -> usize {
        let segments = self.kept.iter().map(|kept| kept.segment);
        segments
            .filter(|segment| self.is_in_doubt(*segment))
            .count()
    }

    /// A segment retires: counts it where that may lose what was written from it.
    pub(super) fn count_given_up(&mut self, segment: u32) {
        if self.is_in_doubt(segment) {
            self.stats.add(Counter::JournalGivenUp, 1);
        }
    }
}
