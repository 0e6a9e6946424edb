//! `benzene-bench disk hdd status`: what disk there is, and what it has counted.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::model::counters::Counters;
use super::place::State;

/// Everything, for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) state: State,
    /// None: the server is gone.
    pub(super) counters: Option<Counters>,
}

impl Status {
    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let State {
            params,
            filesystem,
            device,
            mount,
            ..
        } = &self.state;
        let mut text = format!(
            "model        {}, {} bytes\n\
             filesystem   {filesystem} on {device}, mounted on {}\n",
            params.model.name(),
            params.bytes,
            mount.display(),
        );
        if params.model.rotates() {
            let line = format!("stroke       {} % of it\n", params.stroke_percent);
            text.push_str(&line);
        }
        match &self.counters {
            // A string takes whatever is written to it.
            Some(counters) => {
                text.push_str(&counted(counters, params.model.rotates()).unwrap_or_default());
            }
            None => text.push_str("server       is gone: take the disk down\n"),
        }
        text
    }
}

fn counted(c: &Counters, rotates: bool) -> Result<String, std::fmt::Error> {
    let each = |sum_ns: u64, count: u64| Duration::from_nanos(sum_ns / count.max(1));
    let mut text = String::new();
    writeln!(
        text,
        "reads        {}, {} bytes, {} from the disk's buffer",
        c.reads, c.read_bytes, c.buffered_reads
    )?;
    writeln!(
        text,
        "writes       {}, {} bytes, {} into the disk's cache, {} of them carried out",
        c.writes, c.written_bytes, c.cached_writes, c.destaged_writes
    )?;
    writeln!(text, "flushes      {}", c.flushes)?;
    writeln!(
        text,
        "requests     {} outstanding, at most {}; {:.2?} each",
        c.outstanding,
        c.outstanding_max,
        each(c.latency_ns, c.answered)
    )?;
    if rotates {
        let strokes = c.head_travel_stroke_ppb / 10_000_000;
        writeln!(
            text,
            "head         {} seeks, {} blocks of 4 KiB passed, {}.{:02} full strokes",
            c.seeks,
            c.head_travel_bytes / 4096,
            strokes / 100,
            strokes % 100
        )?;
        writeln!(
            text,
            "service      {:.1?}: {:.1?} seeking, {:.1?} waiting for the platter, {:.1?} transfer",
            each(c.busy_ns(), 1),
            each(c.seek_ns, 1),
            each(c.rotation_ns, 1),
            each(c.transfer_ns, 1)
        )?;
        writeln!(
            text,
            "impatient    {} requests had waited too long",
            c.impatient
        )?;
    }
    writeln!(
        text,
        "late         {} answers by more than 1 ms, {:.1?} a request: the machine's doing",
        c.late_answers,
        each(c.late_ns, c.answered)
    )?;
    Ok(text)
}
