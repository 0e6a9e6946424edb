//! How long the points of a series may be held by the order `deadline`.
//! At most MAX_POINT_AGE, and a quarter of its first archive's retention, so that no point finds
//! its slot gone. Not at all where the file is aggregated by absmax or absmin: graphite-web cannot
//! merge cached points into these, and fails the reader's request.
//! What was last read of a file decides. Before its first update that is foreseen by the name, from
//! the schema and the aggregation that a new file would get; where none of these could give anything
//! but MAX_POINT_AGE, no name is looked at.

use super::{Ledger, SeriesId, Writer};
use crate::limits::HOLD_RETENTION_PART;
use crate::schemas::{Aggregations, Schemas};
use crate::whisper::{Aggregation, Header, Retention};

/// What the configuration says of holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holds {
    /// The shortest that a rule gives, in seconds.
    shortest_s: u32,
}

impl Holds {
    /// The holds that these rules give.
    pub(super) fn new(schemas: &Schemas, aggregations: &Aggregations) -> Self {
        let is_merged = |method: Option<Aggregation>| method.is_none_or(is_merged);
        let shortest_s = if aggregations.iter().all(|rule| is_merged(rule.method)) {
            let first = |archives: &[Retention]| archives.first().copied().map_or(0, by_retention);
            schemas.iter().map(|rule| first(&rule.archives)).min()
        } else {
            None
        };
        Self {
            shortest_s: shortest_s.unwrap_or(0),
        }
    }
}

/// Can graphite-web merge cached points into such a file?
fn is_merged(method: Aggregation) -> bool {
    match method {
        Aggregation::Average
        | Aggregation::Sum
        | Aggregation::Last
        | Aggregation::Max
        | Aggregation::Min
        | Aggregation::AvgZero => true,
        Aggregation::AbsMax | Aggregation::AbsMin => false,
    }
}

fn by_retention(first: Retention) -> u32 {
    first.step_s.saturating_mul(first.points) / HOLD_RETENTION_PART
}

/// How long points for such a file may be held, beside MAX_POINT_AGE.
fn by_header(header: &Header) -> u32 {
    let Some(first) = header.archives.first() else {
        return 0;
    };
    let (step_s, points) = (first.step_s, first.points);
    if is_merged(header.aggregation) {
        by_retention(Retention { step_s, points })
    } else {
        0
    }
}

impl Writer {
    /// A series' file is there, and nothing was read of it yet.
    pub(super) fn foresee_hold(&self, ledger: &mut Ledger, series: SeriesId) {
        let Some(usual_s) = ledger.usual_hold_s(ledger.volume(series)) else {
            return;
        };
        // What is remembered under this number may be another series' file: the shorter counts.
        let mut hold_s = self.layouts.header(series).map_or(usual_s, by_header);
        if self.holds.shortest_s < usual_s {
            let name = ledger.name(series);
            let method = self.config.aggregations.rule(name).rule.method;
            let archives = &self.config.schemas.archives(name).rule.archives;
            hold_s = match archives.first() {
                Some(first) if method.is_none_or(is_merged) => by_retention(*first).min(hold_s),
                Some(_) | None => 0,
            };
        }
        ledger.set_hold(series, hold_s);
    }

    /// A series' file was just read and written.
    pub(super) fn note_hold(&self, ledger: &mut Ledger, series: SeriesId) {
        if ledger.usual_hold_s(ledger.volume(series)).is_some()
            && let Some(header) = self.layouts.header(series)
        {
            ledger.set_hold(series, by_header(header));
        }
    }
}
