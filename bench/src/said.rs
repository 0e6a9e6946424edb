//! What a Benzene says in its log, as far as a measurement needs it: what came back from the journal,
//! shard by shard, what it had counted when it ended, and what it calls an error.
//! Nothing is waited for longer than its patience; a daemon that ends meanwhile is an error.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use benzene_engine::clock;

use crate::daemon::{Daemon, Site, pause};

/// Longest wait for all that earlier runs owe.
const BACK_PATIENCE: Duration = Duration::from_secs(600);
/// How often is looked whether it has come.
const LOOK: Duration = Duration::from_millis(5);

/// Points that came back from the journal, one number for each shard that has said so.
pub(crate) fn came_back(log: &str) -> Vec<u64> {
    let lines = log.lines().filter_map(|line| {
        let (points, _) = line.split_once("journal: ")?.1.split_once(" points of ")?;
        line.contains(" came back to shard ")
            .then(|| points.parse().ok())?
    });
    lines.collect()
}

/// Waits until every shard has what earlier runs owe it; how many points that were. The log of this
/// daemon begins at byte `from`.
pub(crate) fn await_all_back(daemon: &mut Daemon, site: &Site, from: usize) -> Result<u64> {
    let start = clock::now().instant;
    loop {
        let log = site.log();
        let back = came_back(log.get(from..).unwrap_or_default());
        // A daemon that has no threads yet has said nothing yet.
        if !back.is_empty() && back.len() == daemon.cores()?.len() {
            return Ok(back.iter().sum());
        }
        if let Some(status) = daemon.ended()? {
            bail!("the daemon ended with {status}:\n{}", site.log_tail());
        }
        ensure!(
            clock::now().instant.duration_since(start) < BACK_PATIENCE,
            "what the journal owes is not back after {BACK_PATIENCE:?}:\n{}",
            site.log_tail()
        );
        pause(LOOK);
    }
}

/// What a daemon that has ended had counted under this label; None where that is nothing.
pub(crate) fn counted(log: &str, label: &str) -> Option<u64> {
    let (_, counts) = log.rsplit_once(" counted: ")?;
    let mut counts = counts.lines().next()?.split(", ");
    counts.find_map(|count| {
        let (name, number) = count.split_once(' ')?;
        (name == label).then(|| number.parse().ok())?
    })
}

/// Lines at the level of errors.
pub(crate) fn errors(log: &str) -> impl Iterator<Item = &str> {
    log.lines()
        .filter(|line| line.split_whitespace().nth(1) == Some("ERROR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-12-02T08:58:00.283798Z  INFO journal: 7 points of 2 metrics came back to shard 1, 0 of them were in files already
2026-12-02T08:58:00.300000Z  WARN journal: 5 points of nothing
2026-12-02T08:58:00.845837Z  INFO journal: 30 points of 1 metrics came back to shard 0, 1 of them were in files already
2026-12-02T08:58:01.000000Z ERROR a disk is full
";

    #[test]
    fn what_came_back_is_told_shard_by_shard() {
        assert_eq!(came_back(LOG), [7, 30]);
        assert!(came_back("the journal is in /a").is_empty());
    }

    #[test]
    fn the_last_counts_are_found_by_their_label() {
        let log =
            "x  INFO counted: updates 1\nx  INFO counted: journal.blocks 2, journal.bytes 256\ny";
        assert_eq!(counted(log, "journal.bytes"), Some(256));
        assert_eq!(counted(log, "journal.blocks"), Some(2));
        assert_eq!(counted(log, "updates"), None);
        assert_eq!(counted("", "updates"), None);
    }

    #[test]
    fn errors_are_told_from_other_lines() {
        let found: Vec<&str> = errors(LOG).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("a disk is full"));
        assert_eq!(errors("a line with ERROR in it").count(), 0);
    }
}
