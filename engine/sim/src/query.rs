//! Readers: the file first and the cache second, as graphite-web does it. What they see is compared
//! with what was accepted before they asked.

use std::collections::BTreeMap;

use benzene_engine::journal::Sync;
use benzene_engine::shard::{Answer, Reply};

use crate::content::{file_of, is_broken, points_of, reach};
use crate::oracle::Asked;
use crate::process::Process;
use crate::workload::Workload;
use crate::world::World;

/// A question on its way.
#[derive(Debug)]
pub(crate) struct Query {
    metric: usize,
    /// What the file held when it was asked.
    in_file: BTreeMap<u32, f64>,
    /// The number of the next value then.
    before: u64,
    /// All that was accepted until then is to be seen: it was asked where the metric is received,
    /// nothing of an earlier run is yet to come back, nothing was dropped, and nobody else was at the file.
    is_strict: bool,
}

impl World {
    /// A reader asks a shard for a metric.
    pub(crate) fn ask(&mut self, process: &mut Process, index: usize) {
        let metric = self.workload.regular(&mut self.prng);
        let file = self.disk.file(&file_of(metric));
        let is_sound = !file.is_some_and(is_broken);
        let is_ours = !self.tampered.contains(&metric);
        let in_file = file
            .filter(|_| is_sound)
            .map(|bytes| points_of(bytes, 0))
            .unwrap_or_default();
        let is_received_here = metric % process.shards.len() == index;
        let is_whole = is_sound && !process.is_recalling() && !process.has_dropped;
        self.tickets += 1;
        let query = Query {
            metric,
            in_file,
            before: self.oracle.accepted(),
            is_strict: is_received_here && is_whole && is_ours,
        };
        process.queries.insert(self.tickets, query);
        let name = Workload::name(metric);
        process.shards[index].ask_points(self.tickets, std::iter::once(name.as_str()));
    }

    /// A reader gets its answer.
    pub(crate) fn answered(&mut self, process: &mut Process, answer: Answer) {
        let Some(query) = process.queries.remove(&answer.ticket) else {
            unreachable!("nobody has asked for {answer:?}")
        };
        let Reply::Points(parts) = answer.reply else {
            unreachable!("nobody asks for headers")
        };
        let cached = parts.into_iter().flat_map(|(_, points)| points);
        let cached = cached.map(|point| (point.timestamp, point.value));
        let mut shown = query.in_file;
        shown.extend(cached);
        let mut checked = self.oracle.check_origin(query.metric, &shown);
        // What is older may lie in a coarser archive only, and its slot have somebody else's point.
        let asked = Asked {
            before: query.before,
            now_s: self.now().unix_seconds,
            first_s: reach(query.metric, self.settings.is_far).first_s,
        };
        shown.retain(|timestamp, _| asked.is_in_reach(*timestamp));
        if query.is_strict && checked.is_ok() {
            self.checked += 1;
            checked = self
                .oracle
                .check(query.metric, &shown, &asked)
                .and_then(|()| self.oracle.show(query.metric, &shown, answer.ticket));
        }
        if let Err(wrong) = checked {
            panic!("a query at {} ms: {wrong}", self.now_ms());
        }
        // The shard has held the answer back until nothing of it can be lost, or its journal failed.
        let is_noted = self.frail.since_ms.is_none() && process.is_healthy();
        // And what a run without a journal has written out, the next data sync brings to its disk.
        let is_well = is_noted && !self.is_unsynced;
        if self.settings.sync == Sync::Always && is_well {
            self.oracle.pledge(query.metric, &shown);
        }
    }
}
