//! What is said of the points that came back from the journal: how many, and everything that was not
//! as it should be, place by place while there are not too many.

use benzene_engine::journal::replay::Report;
use benzene_engine::metric::ShardIndex;

/// Says what a shard found. What concerns the whole journal is the same for all, and said by the
/// first.
pub(super) fn say(shard: ShardIndex, report: &Report) {
    tracing::info!(
        "journal: {} points of {} metrics came back to shard {}, {} of them were in files already",
        report.given,
        report.names,
        shard.0,
        report.written,
    );
    if shard != ShardIndex(0) {
        return;
    }
    if report.torn_bytes > 0 {
        tracing::info!(
            "journal: {} bytes were being written when the last run ended, and are cut off",
            report.torn_bytes
        );
    }
    for harm in &report.harms {
        tracing::error!("journal: {harm}");
    }
    if report.harms_more > 0 {
        tracing::error!("journal: {} more such places", report.harms_more);
    }
    let lost = report.lost + report.lost_nameless;
    if lost > 0 || report.lost_uncounted > 0 {
        tracing::error!(
            "journal: {lost} points cannot be read, written ones among them; in {} places nothing \
             tells how many; after a power cut these may be of its last JOURNAL_SYNC",
            report.lost_uncounted
        );
    }
}
