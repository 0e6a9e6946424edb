//! A start of Benzene that has something to get back from its journal, watched from the moment at which
//! its program is executed: when the first line is accepted and the first query answered, how long
//! queries take meanwhile, and when all that is owed is back.
//! "Accepted" is a line once a query shows its point. "Back" is what the daemon says in its log, shard
//! by shard (`said`).

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;

use crate::asker::Asker;
use crate::daemon::{Daemon, Launch, Site, local, pause};
use crate::latency::{self, Seen};
use crate::process::Usage;
use crate::said;
use crate::workload::Workload;

/// Name of the line that is sent first.
const FIRST: &str = "bench.first";
/// How often is tried what the daemon does not do yet.
const TRY: Duration = Duration::from_millis(1);
/// Longest wait for the first line and query.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that has all back. Times are since its program was executed.
pub(crate) struct Restarted {
    pub(crate) daemon: Daemon,
    pub(crate) accepted: Duration,
    pub(crate) answered: Duration,
    pub(crate) back: Duration,
    /// Points that came back.
    pub(crate) points: u64,
    /// What it had used by then.
    pub(crate) usage: Usage,
    /// Queries from the first answer until then.
    pub(crate) seen: Seen,
}

/// Starts the daemon of a site and waits until all is back; a query of the workload's metrics `between`
/// one answer and the next.
pub(crate) fn start(
    launch: &Launch,
    site: &Site,
    workload: &Workload,
    between: Duration,
) -> Result<Restarted> {
    let (line, query) = (local(site.ports().line), local(site.ports().query));
    let said_before = site.log().len();
    let begun = clock::now().instant;
    let mut daemon = Daemon::spawn(launch, site)?;
    let (accepted, answered) = first_served(&mut daemon, site, begun, (line, query))?;
    let stop = AtomicBool::new(false);
    let (back, seen) = thread::scope(|scope| -> Result<_> {
        let asking = scope.spawn(|| latency::measure(query, workload, between, &stop, &[]));
        let back = said::await_all_back(&mut daemon, site, said_before).and_then(|points| {
            let took = clock::now().instant.duration_since(begun);
            Ok((points, took, daemon.usage()?))
        });
        stop.store(true, Ordering::Relaxed);
        let seen = asking
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((back?, seen.context("cache queries at the start")?))
    })?;
    let (points, back, usage) = back;
    daemon.await_ports(launch, site)?;
    Ok(Restarted {
        daemon,
        accepted,
        answered,
        back,
        points,
        usage,
        seen,
    })
}

/// When the first line was accepted, and the first query answered.
fn first_served(
    daemon: &mut Daemon,
    site: &Site,
    begun: Instant,
    (line, query): (SocketAddr, SocketAddr),
) -> Result<(Duration, Duration)> {
    let mut check = || -> Result<Duration> {
        let passed = clock::now().instant.duration_since(begun);
        if let Some(status) = daemon.ended()? {
            bail!("the daemon ended with {status}:\n{}", site.log_tail());
        }
        ensure!(
            passed < FIRST_PATIENCE,
            "the daemon serves nobody after {FIRST_PATIENCE:?}:\n{}",
            site.log_tail()
        );
        Ok(passed)
    };
    let mut sender = loop {
        check()?;
        match TcpStream::connect(line) {
            Ok(sender) => break sender,
            Err(_) => pause(TRY),
        }
    };
    let text = format!("{FIRST} 1 {}\n", clock::now().unix_seconds);
    sender
        .write_all(text.as_bytes())
        .context("cannot send the first line")?;
    let mut asker = loop {
        check()?;
        match Asker::connect(query) {
            Ok(asker) => break asker,
            Err(_) => pause(TRY),
        }
    };
    let mut answered = None;
    loop {
        let is_there = !asker.points(FIRST)?.is_empty();
        let passed = check()?;
        let answered = *answered.get_or_insert(passed);
        if is_there {
            return Ok((passed, answered));
        }
        pause(TRY);
    }
}
