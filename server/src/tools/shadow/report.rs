//! What a shadow has found, for people and as JSON.
//! What it could not store is said first, and nothing is said that rests on it: no saving, and no
//! contradiction that a lost point may explain.

use std::path::PathBuf;

use benzene_engine::ring::host::Used;
use serde_json::{Value, json};

use super::daemon::Totals;
use super::tree::{Findings, Places};

/// What both daemons used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    /// Ours, its drain included; the memory is the most that it had.
    pub(super) shadow: Used,
    /// Theirs, in the time in which the shadow received.
    pub(super) running: Option<Used>,
}

/// Everything that is said.
#[derive(Debug)]
pub(super) struct Report {
    /// The data directories of the daemon that runs.
    pub(super) theirs: Vec<PathBuf>,
    /// Where the shadow's files were left.
    pub(super) kept: Option<PathBuf>,
    /// How long the shadow received.
    pub(super) seconds: f64,
    pub(super) totals: Totals,
    pub(super) findings: Findings,
    pub(super) sides: Sides,
}

impl Report {
    /// Nothing contradicts that both have stored the same, and all was looked at that was sent.
    pub(super) fn agrees(&self) -> bool {
        self.totals.lost == 0 && self.findings.agree()
    }

    /// Lines for a terminal.
    pub(super) fn text(&self) -> String {
        let Totals { received, lost, .. } = self.totals;
        let mut lines = vec![format!(
            "a shadow of {} over {:.0} s",
            said(&self.theirs),
            self.seconds
        )];
        if lost > 0 {
            lines.push(format!(
                "{lost} of {received} points were not stored by the shadow: it had no room in memory or on its \
                 disk, or their files could not be made (its log, which --keep leaves, says which). \
                 Metrics that differ by what it lacks are not judged"
            ));
        }
        lines.extend(self.stored());
        lines.extend(self.compared());
        lines.extend(self.used());
        if received == 0 {
            lines.push(
                "nothing was received: name the shadow's port in the relay's DESTINATIONS, and beside the \
                 old destination in a rule of relay-rules.conf; not in a relay with consistent hashing, \
                 where it takes metrics away from the others, but in a second relay in front of that"
                    .to_owned(),
            );
        }
        if let Some(kept) = &self.kept {
            lines.push(format!("the shadow's files are left in {}", kept.display()));
        }
        lines.join("\n") + "\n"
    }

    fn stored(&self) -> Vec<String> {
        let Totals {
            received,
            committed,
            updates,
            creates,
            superseded,
            too_old,
            refused,
            lost,
        } = self.totals;
        let mut lines = vec![
            format!("  points received              {received}"),
            format!(
                "  written                      {committed} in {updates} updates, {:.1} each; {creates} new files",
                ratio(committed, updates)
            ),
        ];
        for (what, count) in [
            ("replaced in the cache       ", superseded),
            ("older than all archives     ", too_old),
            ("not stored                  ", lost),
            ("not accepted                ", refused),
        ] {
            if count > 0 {
                lines.push(format!("  {what} {count}"));
            }
        }
        lines
    }

    fn compared(&self) -> Vec<String> {
        let found = &self.findings;
        let points = &found.points;
        let mut lines = vec![
            format!("  metrics of both              {}", found.metrics),
            format!("    points equal               {}", points.equal),
            format!("    values that differ         {}", points.differ),
            format!("    only in the shadow         {}", points.only_ours),
            format!("    only in the other          {}", points.only_theirs),
            format!(
                "    in the other's cache still {} (newer than all that its file has, or in a slot not over yet)",
                points.not_there_yet
            ),
        ];
        for (what, places) in [
            ("metrics that contradict  ", &found.contradicting),
            ("files not compared       ", &found.unlike),
            ("metrics only here        ", &found.only_ours),
            ("metrics only there       ", &found.only_theirs),
            ("metrics not judged       ", &found.unsure),
        ] {
            lines.push(format!("  {what}    {}", places.count));
            lines.extend(
                places
                    .examples
                    .iter()
                    .map(|example| format!("      {example}")),
            );
        }
        lines
    }

    fn used(&self) -> Vec<String> {
        let Sides { shadow, running } = self.sides;
        let mut lines = vec![format!(
            "  processor time, shadow       {:.2} s, {:.2} us a point; at most {} MiB resident",
            shadow.cpu_s,
            self.us_a_point(shadow),
            shadow.resident_bytes >> 20
        )];
        if let Some(running) = running {
            lines.push(format!(
                "  processor time, running      {:.2} s, {:.2} us a point if it got the same; {} MiB resident",
                running.cpu_s,
                self.us_a_point(running),
                running.resident_bytes >> 20
            ));
            lines.push(self.saving(shadow, running));
        }
        lines
    }

    /// What the move would save; only where the shadow did the work, but for one point in a hundred.
    fn saving(&self, shadow: Used, running: Used) -> String {
        let Totals { received, lost, .. } = self.totals;
        if received == 0 || lost > received / 100 {
            return "  the move would leave         unknown: the shadow has not done the work"
                .to_owned();
        }
        let without = match self.findings.only_theirs.count {
            0 => String::new(),
            count => format!(", without the {count} metrics that it was not sent"),
        };
        format!(
            "  the move would leave         {:.1} % of the processor time{without}",
            shadow.cpu_s / running.cpu_s.max(1e-9) * 100.0
        )
    }

    /// Of each point that was stored: what was not done costs nothing.
    fn us_a_point(&self, used: Used) -> f64 {
        let Totals { received, lost, .. } = self.totals;
        used.cpu_s * 1e6 / float((received - lost).max(1))
    }

    /// One document.
    pub(super) fn json(&self) -> String {
        let Totals {
            received,
            committed,
            updates,
            creates,
            superseded,
            too_old,
            refused,
            lost,
        } = self.totals;
        let (found, points) = (&self.findings, &self.findings.points);
        let used = |used: Used| {
            json!({
                "cpu_seconds": used.cpu_s,
                "cpu_us_per_point": self.us_a_point(used),
                "resident_bytes": used.resident_bytes,
            })
        };
        let document = json!({
            "data_dirs": self.theirs,
            "kept": self.kept,
            "seconds": self.seconds,
            "received": received,
            "committed": committed,
            "updates": updates,
            "creates": creates,
            "superseded": superseded,
            "too_old": too_old,
            "refused": refused,
            "lost": lost,
            "metrics": found.metrics,
            "points_equal": points.equal,
            "points_differ": points.differ,
            "points_only_in_shadow": points.only_ours,
            "points_only_in_running": points.only_theirs,
            "points_not_written_yet": points.not_there_yet,
            "contradicting": places(&found.contradicting),
            "not_compared": places(&found.unlike),
            "metrics_only_in_shadow": places(&found.only_ours),
            "metrics_only_in_running": places(&found.only_theirs),
            "metrics_not_judged": places(&found.unsure),
            "shadow": used(self.sides.shadow),
            "running": self.sides.running.map(used),
            "agree": self.agrees(),
        });
        format!("{document:#}\n")
    }
}

fn said(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

fn places(places: &Places) -> Value {
    json!({ "count": places.count, "examples": places.examples })
}

fn ratio(points: u64, updates: u64) -> f64 {
    float(points) / float(updates.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a report")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(running: Option<Used>) -> Report {
        Report {
            theirs: vec![PathBuf::from("/data")],
            kept: None,
            seconds: 60.0,
            totals: Totals {
                received: 1000,
                committed: 1000,
                updates: 100,
                creates: 10,
                ..Totals::default()
            },
            findings: Findings::default(),
            sides: Sides {
                shadow: Used {
                    cpu_s: 0.001,
                    resident_bytes: 20 << 20,
                },
                running,
            },
        }
    }

    #[test]
    fn what_both_use_stands_side_by_side_where_both_are_known() {
        let running = Used {
            cpu_s: 0.1,
            resident_bytes: 90 << 20,
        };
        let text = report(Some(running)).text();
        for part in ["10.0 each", "1.00 us a point", "100.00 us a point", "1.0 %"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!report(None).text().contains("the move would"));
    }

    #[test]
    fn what_was_lost_is_said_first_and_nothing_is_claimed() {
        let running = Used {
            cpu_s: 0.1,
            resident_bytes: 90 << 20,
        };
        let mut report = report(Some(running));
        report.findings.only_theirs.count = 3;
        let text = report.text();
        assert!(text.contains("1.0 % of the processor time, without the 3 metrics"));
        report.totals.lost = 10;
        assert!(
            report.text().contains("leave         1.0 %"),
            "one in a hundred"
        );
        report.totals.lost = 40;
        report.findings.unsure.count = 7;
        let text = report.text();
        let second = text.lines().nth(1).unwrap();
        assert!(second.starts_with("40 of 1000 points were not stored"));
        assert!(text.contains("metrics not judged           7"), "{text}");
        assert!(text.contains("leave         unknown"), "{text}");
        assert!(!report.agrees());
        let document: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(document["lost"], 40);
        assert_eq!(document["agree"], false);
        report.totals = Totals::default();
        assert!(
            report.text().contains("leave         unknown"),
            "nothing came"
        );
    }

    /// As one more destination of a consistent hashing it would take points away from production.
    #[test]
    fn who_received_nothing_is_told_where_a_copy_comes_from() {
        let mut report = report(None);
        report.totals = Totals::default();
        let text = report.text();
        let last = text.lines().last().unwrap();
        for part in [
            "beside the old destination in a rule of relay-rules.conf",
            "not in a relay with consistent hashing",
            "in a second relay in front",
        ] {
            assert!(last.contains(part), "{part}: {last}");
        }
    }

    #[test]
    fn the_document_says_the_same() {
        let document: Value = serde_json::from_str(&report(None).json()).unwrap();
        assert_eq!(document["received"], 1000);
        assert_eq!(document["agree"], true);
        assert_eq!(document["running"], Value::Null);
    }
}
