//! One update in two phases: open and read, then write and close.
//! The first phase asks for what `layouts` foresees; the plan is asked when that is there, and again
//! after every further read until it has all it needs (at most three rounds, and where points are
//! late two more and one an archive; whatever else happens, after `UPDATE_READS_MAX` the update has failed).
//! Points that were written a moment ago are looked for: a file that was replaced since then gets
//! them again. Whatever fails, the file is closed and the fault comes out; the points are the
//! caller's. Where they need more bytes of the file than an update reads, it is closed too, and is to be
//! had with fewer of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::faults::Fault;
use crate::breaks::{self, Break};
use crate::cache::SeriesId;
use crate::clock::Now;
use crate::limits::{READ_GAP_MAX, UPDATE_READS_MAX};
use crate::point::Point;
use crate::ring::{Access, ByteRange, FileError, FileOperation, FileOutcome, Piece, VisitId};
use crate::whisper::{
    Header, Image, Kept, Late, Outcome, Plan, Planner, again, check, kept, late, merge,
};

use super::layouts::{Layouts, fewer};

/// What an update does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Goes on with this operation.
    Operation(FileOperation),
    /// Is written; so many points of earlier updates were written again.
    Done(Outcome, usize),
    /// Has more points than it can read for; the file is closed. So many of the oldest will do.
    Wide(u32),
    /// Failed; the file is closed.
    Failed(Fault),
}

/// How the update ends once its visit is closed without a write.
#[derive(Debug)]
enum End {
    Done(Outcome, usize),
    Wide(u32),
    Failed(Fault),
}

/// An update in flight.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) series: SeriesId,
    pub(super) started: Instant,
    /// How long the limiter had held it.
    pub(super) waited: Duration,
    /// The wall clock at the start: every round plans for the same moment.
    unix_now: u32,
    points: Vec<Point>,
    /// Points written by earlier updates a moment ago, sorted by time.
    recent: Vec<Point>,
    /// Some of the points an earlier run has accepted, and written or not.
    is_late: bool,
    are_recent_late: bool,
    is_whole: bool,
    visit: Option<VisitId>,
    image: Image,
    asked: Vec<ByteRange>,
    /// Reads so far, that of the open excepted.
    reads: u32,
    end: Option<End>,
}

impl Update {
    /// An update with these points, where `recent` were written a moment ago.
    pub(super) fn new(series: SeriesId, points: Vec<Point>, recent: Vec<Point>, now: Now) -> Self {
        Self {
            series,
            started: now.instant,
            waited: Duration::ZERO,
            unix_now: now.unix_seconds,
            points,
            recent,
            is_late: false,
            are_recent_late: false,
            is_whole: false,
            visit: None,
            image: Image::new(),
            asked: Vec::new(),
            reads: 0,
            end: None,
        }
    }

    /// The same where some of the points, or of the recent ones, come from an earlier run, which may have
    /// written them.
    pub(super) fn late(self, is_late: bool, are_recent_late: bool) -> Self {
        Self {
            is_late,
            are_recent_late,
            ..self
        }
    }

    /// The same that the limiter had held for so long.
    pub(super) fn held(self, waited: Duration) -> Self {
        Self { waited, ..self }
    }

    /// The same that reads a small file whole, where that costs no more than a page of it.
    pub(super) fn whole(self, is_whole: bool) -> Self {
        Self { is_whole, ..self }
    }

    /// The operation that every update begins with.
    pub(super) fn open(
        &mut self,
        path: PathBuf,
        access: Access,
        (layouts, planner): (&Layouts, &mut Planner),
    ) -> FileOperation {
        let points = (self.points.as_slice(), self.recent.last().copied());
        let whole = layouts.whole(self.series).filter(|_| self.is_whole);
        let ranges = whole.map_or_else(
            || layouts.foresee(self.series, points, (self.unix_now, planner)),
            |whole| vec![whole],
        );
        self.image = Image::remembering(layouts.bases(self.series));
        self.asked.clone_from(&ranges);
        FileOperation::Open {
            path,
            access,
            ranges,
        }
    }

    /// Takes the outcome of the last operation.
    pub(super) fn step(
        &mut self,
        result: Result<FileOutcome, FileError>,
        sync: bool,
        (layouts, planner): (&mut Layouts, &mut Planner),
    ) -> Step {
        match result {
            Err(error) => Step::Failed(Fault::Io(error)),
            Ok(FileOutcome::Opened { visit, pieces }) => {
                self.visit = Some(visit);
                self.take(pieces);
                self.plan(visit, sync, (layouts, planner))
            }
            Ok(FileOutcome::Read(pieces)) => {
                let Some(visit) = self.visit else {
                    unreachable!("read before it was open")
                };
                self.take(pieces);
                self.plan(visit, sync, (layouts, planner))
            }
            Ok(FileOutcome::Written | FileOutcome::Closed) => match self.end.take() {
                Some(End::Done(outcome, again)) => Step::Done(outcome, again),
                Some(End::Wide(most)) => Step::Wide(most),
                Some(End::Failed(fault)) => Step::Failed(fault),
                None => unreachable!("an update was closed before it knew its end"),
            },
            Ok(outcome) => unreachable!("an update was answered with {outcome:?}"),
        }
    }

    /// Takes in what was read.
    fn take(&mut self, pieces: Vec<Piece>) {
        let bytes = pieces.into_iter().map(|piece| piece.bytes);
        self.image.add_all(self.asked.drain(..).zip(bytes));
    }

    fn plan(
        &mut self,
        visit: VisitId,
        sync: bool,
        (layouts, planner): (&mut Layouts, &mut Planner),
    ) -> Step {
        let image = &self.image;
        if let Some(missing) = image.missing_head() {
            return self.read(visit, vec![missing]);
        }
        let plan = match layouts.same(self.series, image) {
            Some(header) => self.plan_within(header, planner),
            None => Header::parse(image.head())
                .map_err(Fault::Header)
                .and_then(|header| {
                    layouts.note(self.series, &header, image);
                    self.plan_within(&header, planner)
                }),
        };
        match plan {
            Ok((Plan::Need(_), _, Some(fewer))) => {
                self.end = Some(End::Wide(fewer));
                Step::Operation(FileOperation::Close { visit })
            }
            Ok((Plan::Need(ranges), ..)) => self.read(visit, ranges),
            Ok((Plan::Write { pieces, outcome }, again, _)) => {
                self.end = Some(End::Done(outcome, again));
                Step::Operation(if pieces.is_empty() {
                    FileOperation::Close { visit }
                } else {
                    FileOperation::Write {
                        visit,
                        pieces,
                        sync,
                    }
                })
            }
            Err(fault) => {
                self.end = Some(End::Failed(fault));
                Step::Operation(FileOperation::Close { visit })
            }
        }
    }

    /// The same as `plan_for`, and how many points the update may have, where for all of them it would
    /// read too much. What a replaced file gets again cannot wait.
    fn plan_within(
        &self,
        header: &Header,
        planner: &mut Planner,
    ) -> Result<(Plan, usize, Option<u32>), Fault> {
        let (mut plan, again) = self.plan_for(header, planner)?;
        let mut most = None;
        if let Plan::Need(ranges) = &mut plan {
            merge(ranges, READ_GAP_MAX);
            most = fewer(header, ranges, self.points.len()).filter(|_| again == 0);
        }
        Ok((plan, again, most))
    }

    /// The plan for a file with this header, and how many recent points it writes again, or reads for: all
    /// of them where the newest is gone.
    fn plan_for(&self, header: &Header, planner: &mut Planner) -> Result<(Plan, usize), Fault> {
        let (now, image) = (self.unix_now, &self.image);
        let mut needs = Vec::new();
        match kept(header, &self.recent, now, image) {
            Kept::Yes => {}
            Kept::No => return self.plan_again(header, planner),
            Kept::Unread(range) => needs.push(range),
        }
        let plan = self.plan_points(header, planner)?;
        let plan = match plan {
            Plan::Need(more) => Plan::Need([needs, more].concat()),
            Plan::Write { .. } if !needs.is_empty() => Plan::Need(needs),
            write @ Plan::Write { .. } => write,
        };
        Ok((plan, 0))
    }

    /// The plan for the new points.
    fn plan_points(&self, header: &Header, planner: &mut Planner) -> Result<Plan, Fault> {
        let (now, image) = (self.unix_now, &self.image);
        if !self.is_late || breaks::is(Break::Late) {
            return (planner.plan(header, &self.points, now, image)).map_err(Fault::Plan);
        }
        let writes = match self.unspared(header, &self.points)? {
            Late::Write(writes) => writes,
            Late::Need(needs) => return Ok(Plan::Need(needs)),
        };
        let mut plan =
            (planner.plan_some(header, (&writes, true), now, image)).map_err(Fault::Plan)?;
        if let Plan::Write { pieces, outcome } = &mut plan {
            outcome.spared = (self.points.len() - writes.len()) as u64;
            again(header, &self.points, now, (image, pieces));
        }
        Ok(plan)
    }

    /// Those of late points that are to be written.
    fn unspared(&self, header: &Header, points: &[Point]) -> Result<Late, Fault> {
        // As the plan does first: where the file ends before what is late, no reading brings that.
        check(header, &self.image).map_err(Fault::Plan)?;
        Ok(late(header, points, self.unix_now, &self.image))
    }

    /// The plan that writes recent points again. Its outcome is that of the new ones alone. Among the
    /// recent ones may be late points for which a coarse slot was spared: that holds for them still.
    fn plan_again(&self, header: &Header, planner: &mut Planner) -> Result<(Plan, usize), Fault> {
        let outcome = match self.plan_points(header, planner)? {
            Plan::Write { outcome, .. } => outcome,
            need @ Plan::Need(_) => return Ok((need, 0)),
        };
        let due = |points: &Vec<Point>, are_late: bool| {
            if are_late {
                self.unspared(header, points)
            } else {
                Ok(Late::Write(points.clone()))
            }
        };
        let mut all = match due(&self.recent, self.are_recent_late)? {
            Late::Write(writes) => writes,
            Late::Need(needs) => return Ok((Plan::Need(needs), self.recent.len())),
        };
        let count = all.len();
        // The plan of them alone has read what they need.
        if let Late::Write(writes) = due(&self.points, self.is_late)? {
            all.extend(writes);
        }
        let (now, image) = (self.unix_now, &self.image);
        let are_late = self.is_late || self.are_recent_late;
        let plan = planner.plan_some(header, (&all, are_late), now, image);
        let mut pieces = match plan.map_err(Fault::Plan)? {
            Plan::Write { pieces, .. } => pieces,
            need @ Plan::Need(_) => return Ok((need, self.recent.len())),
        };
        let both = [
            (&self.recent, self.are_recent_late),
            (&self.points, self.is_late),
        ];
        for (points, _) in both.into_iter().filter(|(_, are_late)| *are_late) {
            again(header, points, now, (image, &mut pieces));
        }
        Ok((Plan::Write { pieces, outcome }, count))
    }

    /// Reads on, unless that has been of no use too often.
    fn read(&mut self, visit: VisitId, ranges: Vec<ByteRange>) -> Step {
        if self.reads == UPDATE_READS_MAX {
            self.end = Some(End::Failed(Fault::Restless));
            return Step::Operation(FileOperation::Close { visit });
        }
        self.reads += 1;
        self.asked.clone_from(&ranges);
        Step::Operation(FileOperation::Read { visit, ranges })
    }
}

#[cfg(test)]
mod tests;
