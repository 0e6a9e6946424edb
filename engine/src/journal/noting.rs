//! What goes into the journal: points, and what became of them. `point` is the hot path: an id by the
//! series' number, and an entry in the buffer.
//! Invariants: a record of what is written stands before every point that was noted after it, for it
//! means the points before; nothing is noted in `Failed`, and each point that is not is counted.

use std::mem;

use super::block::HEAD_BYTES;
use super::entry::{CUT_NONE, PointEncoder};
use super::name_entry::NameEncoder;
use super::{Began, Earlier, Intake, Journal};
use crate::cache::SeriesId;
use crate::limits::JOURNAL_OVERRUN_BYTES;
use crate::point::Point;
use crate::stats::Counter;

/// Which points of a series are written: those that a take took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// `serial` at the take.
    pub serial: u64,
    /// Points of this timestamp and later stay; `CUT_NONE`: none does.
    pub cut: u32,
}

impl Journal {
    /// Notes a point that was accepted now. The name is asked for where the series has no id yet.
    #[inline]
    pub fn point<'n>(&mut self, series: SeriesId, name: impl FnOnce() -> &'n str, point: Point) {
        if !self.is_flowing && !self.begin_entry() {
            self.stats.add(Counter::JournalMissed, 1);
            return;
        }
        let id = match self.ids.get(series) {
            Some(id) => id,
            None => self.give_id(series, name()),
        };
        self.points.point(id, point);
    }

    /// Asks for a series' id, for a point that is noted a little later.
    #[inline]
    pub fn fetch(&self, series: SeriesId) {
        self.ids.fetch(series);
    }

    /// Notes points once more that were received so many seconds ago: from now on they are owed by
    /// the present segment. Points that are being written are not to be among them: a `Part` of a
    /// take before this does not mean the new copies.
    pub fn carry(&mut self, series: SeriesId, name: &str, points: &[Point], received_s_ago: u32) {
        // Where nothing is noted they are noted again when it recovers; those that nobody has noted
        // were counted.
        if let Some((id, age_s)) = self.begin_carried(series, || name, received_s_ago) {
            for point in points {
                self.points.aged_point(id, *point, age_s);
            }
            self.stats.add(Counter::JournalCarried, points.len() as u64);
        }
    }

    /// Notes a point that an earlier epoch owes and that was received so many seconds ago. It counts
    /// once it is said that earlier epochs owe nothing (`seal_epochs_done`); until then those have
    /// all, in the order of receipt.
    pub fn copy<'n>(
        &mut self,
        series: SeriesId,
        name: impl FnOnce() -> &'n str,
        point: Point,
        received_s_ago: u32,
    ) {
        if let Some((id, age_s)) = self.begin_carried(series, name, received_s_ago) {
            self.points.copied_point(id, point, age_s);
        }
    }

    /// Makes way for points that were received before: their id, and their age as the block has it.
    #[inline]
    fn begin_carried<'n>(
        &mut self,
        series: SeriesId,
        name: impl FnOnce() -> &'n str,
        received_s_ago: u32,
    ) -> Option<(u32, u32)> {
        if !self.is_flowing && !self.begin_entry() {
            return None;
        }
        let id = match self.ids.get(series) {
            Some(id) => id,
            None => self.give_id(series, name()),
        };
        // An age counts from the begin of the block, which may have waited for the disk.
        let began = self
            .began
            .map_or(self.now.unix_seconds, |began| began.unix_seconds);
        let age_s = received_s_ago.saturating_sub(self.now.unix_seconds.saturating_sub(began));
        Some((id, age_s))
    }

    /// Notes that points of a series need not be replayed: they are in their file, or given up and
    /// counted. `None`: all that were noted so far, whatever their generation.
    /// Nothing is noted while earlier epochs owe points (`set_earlier_owing`).
    pub fn written(&mut self, series: SeriesId, name: &str, part: Option<Part>) {
        if self.earlier != Earlier::Done {
            self.earlier = Earlier::OwingAndWritten;
            return;
        }
        // An update that a stop has not waited for: its points are owed, and written once more.
        if self.intake == Intake::Over || !self.begin_record() {
            return;
        }
        let id = match self.ids.get(series) {
            Some(id) => id,
            None => self.give_id(series, name),
        };
        let serial = self.serial();
        self.want_mark();
        let part = part.filter(|part| part.cut != CUT_NONE || part.serial != serial);
        if let Some(part) = part {
            assert!(
                part.serial <= serial,
                "a take at serial {} of {serial}",
                part.serial
            );
            self.note_run();
            self.points.written_part(id, serial - part.serial, part.cut);
            return;
        }
        self.is_flowing = false;
        self.written_run = match self.written_run {
            Some((first, count)) if first + count == id => Some((first, count + 1)),
            Some(_) => {
                self.note_run();
                Some((id, 1))
            }
            None => Some((id, 1)),
        };
    }

    /// Does something of this series stand in the present generation?
    pub fn has_named(&self, series: SeriesId) -> bool {
        self.ids.get(series).is_some()
    }

    /// Earlier epochs owe points, or do so no more. While they do, the next start would begin with
    /// those, and needs all that was received since behind them: of two values of a second the later
    /// one is to be written last. So nothing is noted as written, and no segment retires; points of
    /// earlier epochs are noted past the bound. True where files were written meanwhile, and that is
    /// to be noted now.
    pub fn set_earlier_owing(&mut self, is_owing: bool) -> bool {
        let is_to_note = !is_owing && self.earlier == Earlier::OwingAndWritten;
        if is_owing != (self.earlier != Earlier::Done) {
            self.earlier = if is_owing {
                Earlier::Owing
            } else {
                Earlier::Done
            };
        }
        is_to_note
    }

    /// Earlier epochs owe points, and take the journal past its bound: no new ones are taken before that
    /// is over.
    pub fn hold_senders(&mut self) {
        self.holds_senders = true;
        self.earlier = Earlier::Owing;
    }

    /// The number of this series may stand for another name from now on.
    pub fn forget(&mut self, series: SeriesId) {
        self.ids.forget(series);
    }

    /// Points noted so far: what a take remembers, to say later what was written.
    pub fn serial(&self) -> u64 {
        self.block_serial + u64::from(self.points.points())
    }

    /// From the next block on heads say that epochs below this one owe nothing: all that they owed
    /// was noted by shards of this epoch, and is synced there.
    pub fn seal_epochs_done(&mut self, epoch: u32) {
        assert!(
            epoch >= self.epochs_done && epoch <= self.config.epoch,
            "epoch {epoch}, {} are done, this one is {}",
            self.epochs_done,
            self.config.epoch
        );
        self.has_news |= epoch > self.epochs_done;
        self.epochs_done = epoch;
    }

    /// Makes way for a point: a block that is begun, with nothing that stands before. False where
    /// nothing is noted.
    #[cold]
    fn begin_entry(&mut self) -> bool {
        if !self.begin_record() {
            return false;
        }
        self.note_run();
        self.is_flowing = true;
        true
    }

    /// Makes way for a record. False where nothing is noted.
    pub(super) fn begin_record(&mut self) -> bool {
        if !self.is_noting() {
            return false;
        }
        assert!(self.intake != Intake::Over, "an entry behind the stop");
        if self.began.is_none() {
            self.begin_block();
        }
        true
    }

    /// Begins a block of points. Ids change their generation only here.
    pub(super) fn begin_block(&mut self) {
        self.change_generation();
        self.began = Some(Began {
            at: self.now.instant,
            unix_seconds: self.now.unix_seconds,
            generation: self.ids.generation(),
        });
        let received_ms = u64::from(self.now.unix_seconds) * 1000;
        self.points = PointEncoder::new(self.point_lane.buffer(), received_ms);
    }

    /// Notes the ids that wait to become one record.
    pub(super) fn note_run(&mut self) {
        if let Some((first, count)) = self.written_run.take() {
            self.points.written(first, count);
        }
    }

    /// Ends the block of points that is being filled: its bytes, and how many points it has.
    pub(super) fn end_block(&mut self) -> (Vec<u8>, u32) {
        self.note_run();
        self.is_flowing = false;
        let ended = mem::replace(&mut self.points, PointEncoder::new(Vec::new(), 0));
        let points = ended.points();
        self.block_serial += u64::from(points);
        (ended.finish(), points)
    }

    /// Nothing of what was noted and not written will be: counts the points, and begins anew.
    pub(super) fn give_up_entries(&mut self) {
        self.written_run = None;
        let (buffer, points) = self.end_block();
        self.point_lane.give_back(buffer);
        self.began = None;
        let lost = u64::from(points) + u64::from(self.point_lane.give_up());
        self.stats.add(Counter::JournalMissed, lost);
        self.name_lane.give_up();
        self.begin_generation();
        self.names_committed = self.names_noted;
    }

    #[cold]
    fn give_id(&mut self, series: SeriesId, name: &str) -> u32 {
        let id = self.ids.upcoming();
        if self.names.names() == 0 {
            self.names = NameEncoder::new(self.name_lane.buffer());
        }
        let bytes = self.names.name(id, name);
        self.ids.give(series, bytes);
        self.names_noted += 1;
        self.stats.add(Counter::JournalNames, 1);
        id
    }

    /// Whoever takes points while the journal is congested takes more than any buffer holds.
    pub(super) fn assert_bounded(&self) {
        let most = self.block_bytes_full() + JOURNAL_OVERRUN_BYTES;
        for bytes in [self.points.payload_bytes(), self.names.payload_bytes()] {
            assert!(
                bytes + HEAD_BYTES <= most,
                "{bytes} bytes of entries wait, at most {most}"
            );
        }
    }
}
