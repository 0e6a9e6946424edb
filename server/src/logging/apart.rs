//! Standard error of a running daemon: a thread of its own writes there, so that whoever reads it no more
//! (a terminal that is held, a log driver that hangs) holds up no core and no signal.
//! Bounded: what finds no place in the queue is dropped, counted, and told once there is room. Before
//! `begin`, and after an end in which all was written, lines are written by who says them.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;

use benzene_engine::clock;
use benzene_engine::quiet::Quiet;

use super::queue::{Entry, Logs, Topic};

/// Who says a line writes it.
const DIRECT: u8 = 0;
/// The thread writes it.
const APART: u8 = 1;
/// Nobody does: at the end the thread could not write any more.
const STALLED: u8 = 2;

static WAY: AtomicU8 = AtomicU8::new(DIRECT);
static LINES: OnceLock<Logs> = OnceLock::new();

/// Lines go through the thread until this goes.
#[derive(Debug)]
pub(crate) struct Apart(());

/// Has a thread write what is said from now on.
pub(crate) fn begin() -> io::Result<Apart> {
    let (lines, entries) = Logs::new();
    let own = lines.clone();
    std::thread::Builder::new()
        .name("benzene-stderr".to_owned())
        .spawn(move || run(&own, &entries))?;
    let fresh = LINES.set(lines).is_ok();
    assert!(fresh, "standard error is written apart twice");
    WAY.store(APART, Ordering::Release);
    Ok(Apart(()))
}

impl Drop for Apart {
    /// Waits a moment until what was said is written.
    fn drop(&mut self) {
        let is_written = LINES.get().is_some_and(Logs::finish);
        let way = if is_written { DIRECT } else { STALLED };
        WAY.store(way, Ordering::Release);
    }
}

/// Writes a line, or has it written.
pub(super) fn write(line: &[u8]) -> io::Result<()> {
    match (WAY.load(Ordering::Acquire), LINES.get()) {
        (STALLED, _) => {}
        (APART, Some(lines)) => {
            let text = String::from_utf8_lossy(line).into_owned();
            lines.say(Topic::Console, text);
        }
        _ => io::stderr().write_all(line)?,
    }
    Ok(())
}

fn run(lines: &Logs, entries: &Receiver<Entry>) {
    let (mut quiet, mut before) = (Quiet::default(), 0);
    while let Ok(entry) = entries.recv() {
        match entry {
            // Nobody can be told that nobody reads.
            Entry::Line(_, _, text) => io::stderr().write_all(text.as_bytes()).unwrap_or_default(),
            Entry::Reopen => {}
            // Whoever asked may have lost patience.
            Entry::Flush(done) => done.send(()).unwrap_or_default(),
        }
        let dropped = lines.dropped();
        if dropped > before && quiet.due(clock::now().instant).is_some() {
            let more = dropped - std::mem::replace(&mut before, dropped);
            tracing::warn!("{more} lines found no place here, for nobody read what was said");
        }
    }
}
