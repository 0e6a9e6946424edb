//! What is said of the points that came back from the journal: how many, and everything that was not
//! as it should be, place by place while there are not too many.

use std::collections::BTreeMap;
use std::path::Path;

use benzene_engine::journal::replay::{Harm, Report};
use benzene_engine::journal::survey::ASIDE_ENDING;
use benzene_engine::metric::ShardIndex;
use benzene_engine::shard::Kept;

/// Says what a shard found. What concerns the whole journal is the same for all, and said by the
/// first; what a shard could not read, by itself.
pub(super) fn say(shard: ShardIndex, report: &Report) {
    tracing::info!(
        "journal: {} points of {} metrics came back to shard {}, {} of them were in files already",
        report.given,
        report.names,
        shard.0,
        report.written,
    );
    let is_first = shard == ShardIndex(0);
    if is_first && report.torn_bytes > 0 {
        tracing::info!(
            "journal: {} bytes were being written when the last run ended, and are cut off",
            report.torn_bytes
        );
    }
    let by = if is_first {
        String::new()
    } else {
        format!(" by shard {}", shard.0)
    };
    for harm in harms(shard, report) {
        tracing::error!("journal: {harm}{by}");
    }
    if !is_first && report.unread.is_empty() {
        return;
    }
    if report.harms_more > 0 {
        tracing::error!("journal: {} more such places{by}", report.harms_more);
    }
    let lost = report.lost + report.lost_nameless;
    if lost > 0 || report.lost_uncounted > 0 {
        tracing::error!(
            "journal: {lost} points cannot be read{by}, written ones among them; in {} places nothing \
             tells how many; after a power cut these may be of its last JOURNAL_SYNC",
            report.lost_uncounted
        );
    }
}

/// The places that a shard is to name.
fn harms(shard: ShardIndex, report: &Report) -> impl Iterator<Item = &Harm> {
    let harms = report.harms.iter();
    harms.filter(move |harm| shard == ShardIndex(0) || harm.what.is_of_reading())
}

/// Says which files do not go with the others of earlier runs, and what to do with them.
pub(super) fn say_kept(kept: &Kept) {
    for path in &kept.unread {
        tracing::error!(
            "journal: {} could not be read in whole by every shard",
            path.display()
        );
    }
    for advice in advices(kept) {
        tracing::error!("journal: {advice}");
    }
    if kept.gone > 0 {
        tracing::error!(
            "journal: {} files of that kind are removed, as JOURNAL_MAX_BYTES leaves no room for them",
            kept.gone
        );
    }
}

/// What to do with the files that are set aside, for each directory that has some: this journal's, and
/// those that are taken over.
fn advices(kept: &Kept) -> Vec<String> {
    let mut directories: BTreeMap<&Path, usize> = BTreeMap::new();
    for directory in kept.aside.iter().filter_map(|path| path.parent()) {
        *directories.entry(directory).or_default() += 1;
    }
    let advice = |(directory, files): (&Path, usize)| advice(directory, files);
    directories.into_iter().map(advice).collect()
}

/// What to do with files that are set aside.
pub(crate) fn advice(directory: &Path, files: usize) -> String {
    format!(
        "{files} files of earlier runs, in which points may be that no file has, are set aside as \
         {0}/*{ASIDE_ENDING}, and not read any more: see to the disk, have `benzene journal export \
         {0}/*{ASIDE_ENDING}` print what they owe, send that to this daemon, then remove them",
        directory.display()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use benzene_engine::journal::replay::Damage;

    use super::*;

    #[test]
    fn what_a_shard_could_not_read_is_named_by_it_and_the_rest_by_the_first() {
        let harm = |what| Harm {
            path: PathBuf::from("/j/00000001-00000-00000000.points"),
            offset: 0,
            what,
        };
        let report = Report {
            harms: vec![harm(Damage::End), harm(Damage::Changed { points: 3 })],
            ..Report::default()
        };
        let named = |shard| harms(ShardIndex(shard), &report).collect::<Vec<_>>();
        assert_eq!(named(0), report.harms.iter().collect::<Vec<_>>());
        assert_eq!(named(1), [&report.harms[1]]);
    }

    #[test]
    fn what_is_set_aside_is_told_by_its_directory() {
        let names = ["/b/1.points", "/a/1.points", "/b/1.names"];
        let kept = Kept {
            unread: BTreeSet::new(),
            aside: names.map(PathBuf::from).to_vec(),
            gone: 0,
        };
        let (a, b) = (advice(Path::new("/a"), 1), advice(Path::new("/b"), 2));
        assert!(a.starts_with("1 files") && a.contains("/a/*.aside"), "{a}");
        assert_eq!(advices(&kept), [a, b]);
    }
}
