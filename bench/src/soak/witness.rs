//! Asks the cache for metrics while they come in, and holds it to what a reader is promised: who
//! reads the file first and asks the cache second sees every point that was sent two steps ago or
//! earlier, with its value; and no cached value is another than the one that was sent.
//! While the daemon restarts, and until senders have sent again what may be lost, nothing is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::scene::{SEEN_STEPS, Scene};
use crate::asker::Asker;
use crate::check::{Tally, points_in};
use crate::daemon::pause;
use crate::own_metrics::whole_u32;
use crate::workload::mix;

/// Between two questions.
const BETWEEN: Duration = Duration::from_millis(10);
/// How often a wrong answer is asked for again before it counts: a reader may meet a write of the
/// same bytes, and a slow sender a moment of its own.
const TRIES: u32 = 5;
/// Between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(200);
/// Rounds that are looked for, up to the newest that must be there.
const ROUNDS: u32 = 6;

/// Asks until the scene is over; what was wrong.
pub(crate) fn watch(scene: &Scene, query: SocketAddr, data: &Path) -> Tally {
    let mut faults = Tally::default();
    let mut asker = None;
    let mut draw = mix(scene.pace.workload.seed());
    while !scene.pace.is_over() {
        pause(BETWEEN);
        if !scene.is_settled() {
            asker = None;
            continue;
        }
        draw = mix(draw);
        let index = u32::try_from(draw % u64::from(scene.pace.workload.metrics())).unwrap_or(0);
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            outcome = look(scene, &mut asker, query, (data, index));
            if outcome.is_ok() {
                break;
            }
            asker = None;
            pause(TRY_PAUSE);
        }
        // Where the daemon went down meanwhile, the outcome says nothing.
        if !scene.is_settled() {
            continue;
        }
        scene.sent.answers.add(1);
        if let Err(error) = outcome {
            scene.sent.faults.add(1);
            let second = scene.pace.elapsed().as_secs();
            faults.add(|| format!("{second} s, {}: {error:#}", scene.pace.workload.name(index)));
        }
    }
    faults
}

/// What a reader sees of a metric: file first, cache second.
pub(crate) fn seen(
    scene: &Scene,
    asker: &mut Asker,
    data: &Path,
    index: u32,
) -> Result<BTreeMap<u32, f64>> {
    let name = scene.pace.workload.name(index);
    let file = data.join(format!("{}.wsp", name.replace('.', "/")));
    let mut seen = BTreeMap::new();
    for point in points_in(&file)?.unwrap_or_default() {
        seen.insert(point.timestamp, point.value);
    }
    for point in asker.points(&name)? {
        seen.insert(whole_u32(point.timestamp)?, point.value);
    }
    Ok(seen)
}

/// Whether all that a metric must have is seen, and nothing else.
fn look(
    scene: &Scene,
    asker: &mut Option<Asker>,
    query: SocketAddr,
    (data, index): (&Path, u32),
) -> Result<()> {
    // The newest round that must be there, before anything is read.
    let newest = scene.pace.round().min(scene.pace.workload.rounds());
    let asker = match asker {
        Some(asker) => asker,
        None => asker.insert(Asker::connect(query)?),
    };
    let seen = seen(scene, asker, data, index)?;
    let rounds = 0..newest.saturating_sub(SEEN_STEPS);
    for round in rounds.rev().take(ROUNDS as usize) {
        let timestamp = scene.pace.workload.timestamp(round);
        seen.get(&timestamp).with_context(|| {
            format!("the point of {timestamp} is neither in the file nor in the cache")
        })?;
    }
    for (timestamp, value) in seen {
        let round = scene.pace.workload.round_at(timestamp);
        let round = round.with_context(|| format!("nothing was sent for {timestamp}"))?;
        let wanted = f64::from(scene.pace.workload.value(index, round));
        ensure!(
            value.to_bits() == wanted.to_bits(),
            "{timestamp}: {value}, sent was {wanted}"
        );
    }
    Ok(())
}
