//! Tools that change two hundred files, one after the other, while points of all of them stream in:
//! `cp` of files of another layout, `rm`, and restores of older copies. After each pass Python's whisper
//! reads every file, with the layout that was put there last, or the schema's where it was deleted, and
//! with all that docs/decisions/0014 promises: the points sent after the change, and those written in
//! the five seconds before the first update that follows it. What an update under way at a `cp` over the
//! same layout leaves is excepted there, and here for at most half of the files.
#![expect(clippy::disallowed_methods, reason = "a test reads clocks")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::clients::counted;
use crate::daemon::{Daemon, Setup, file_of, python, wait_for, whisper_files};
use crate::first_use::now;
use crate::journal::balance;
use crate::load::Load;
use crate::vitals::{is_long, points_once_whole};

const METRICS: usize = 200;
/// Seconds and points of the schema's only archive.
const SCHEMA: &[(u32, u32)] = &[(1, 7200)];
/// Those of two other layouts; all hold the whole test in seconds.
const OTHERS: [&[(u32, u32)]; 2] = [&[(1, 3600), (10, 2160)], &[(1, 5400)]];
/// So long written points are in memory, all of a series, less half a second of ours.
const REMEMBERED: Duration = Duration::from_millis(4500);

/// How often each tool goes over all files; `BENZENE_LONG` asks for ten times.
fn passes() -> usize {
    if is_long() { 10 } else { 2 }
}

/// What of the time before a change must be in the files.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// All up to this second.
    backup: Option<u32>,
    /// So many files may lack what was written in the last seconds, after the backup's.
    unmended_max: usize,
}

impl Kept {
    /// Is a second between the backup's last and the change?
    fn is_before(self, second: u32, changed: u32) -> bool {
        second < changed && self.backup.is_none_or(|backup| second > backup)
    }
}

/// A daemon with files under load.
struct Site {
    daemon: Daemon,
    load: Load,
    /// What earlier changes took from each metric.
    gone: BTreeMap<String, BTreeSet<u32>>,
}

impl Site {
    fn new() -> Site {
        let daemon = Daemon::start(&Setup {
            conf: "CARBON_METRIC_INTERVAL = 0\n".to_owned(),
            schemas: Some("[all]\npattern = .*\nretentions = 1s:2h\n".to_owned()),
            shards: Some(2),
            ..Setup::default()
        });
        // Later than the shortest archive reaches back, and not in the future at the end.
        let start = now() - 2400;
        let mut load = Load::new(&daemon, METRICS, start, vec![daemon.data()]);
        load.add("tool");
        load.until("all files are made", &daemon, |load| {
            load.is_written("tool", start + 1)
        });
        let gone = BTreeMap::new();
        Site { daemon, load, gone }
    }

    /// Where a metric's file is below a directory that has the daemon's tree.
    fn file(root: &Path, metric: usize) -> PathBuf {
        file_of(root, &format!("tool.m{metric}"))
    }

    /// Runs a script of the shell on each file, `$1`, and what it takes for it, `$2`, under load.
    fn run(&mut self, script: &str, source: impl Fn(usize) -> PathBuf) {
        let script = format!("while [ $# -gt 0 ]; do {script}; shift 2; done");
        let mut shell = Command::new("sh");
        shell.args(["-ec", &script, "sh"]).stdin(Stdio::null());
        for metric in 0..METRICS {
            shell.args([Self::file(&self.daemon.data(), metric), source(metric)]);
        }
        let mut tool: Child = shell.spawn().unwrap();
        let mut ended = None;
        self.load.until("the tool ends", &self.daemon, |_load| {
            ended = tool.try_wait().unwrap();
            ended.is_some()
        });
        assert!(ended.is_some_and(|status| status.success()), "{script}");
    }

    /// Has every file a point of a second?
    fn all_have(data: &Path, second: u32) -> bool {
        (0..METRICS).all(|metric| {
            let points = points_once_whole(&Self::file(data, metric));
            points.is_some_and(|points| points.contains_key(&second))
        })
    }

    /// All files were changed: they have this layout, and all points but those that may be missing, of
    /// the seconds between a backup's last and those that the daemon remembers. How many seconds may be.
    fn check(&mut self, layout: &[(u32, u32)], kept: Kept) -> usize {
        let (data, changed) = (self.daemon.data(), self.load.time + 1);
        self.load.until(
            "all files are written after the change",
            &self.daemon,
            |_load| Self::all_have(&data, changed),
        );
        let mended = Instant::now();
        wait_for(|| Self::all_have(&data, self.load.time).then_some(()))
            .unwrap_or_else(|| panic!("not all is written: {}", self.daemon.log()));
        let is_promised = |second: u32| {
            let sent = self.load.sent_at[&second];
            kept.backup.is_some_and(|backup| second <= backup)
                || second >= changed
                || mended.duration_since(sent) < REMEMBERED
        };
        let seen = whisper_files(&data, now());
        assert_eq!(seen.len(), METRICS);
        let mut unmended = 0;
        for (metric, file) in &seen {
            assert_eq!(file.archives, layout, "{metric}");
            let sent = &self.load.sent[metric];
            for (second, value) in &file.points {
                assert_eq!(sent.get(second), Some(value), "{metric}: at {second}");
            }
            let gone = self.gone.entry(metric.clone()).or_default();
            let has = |second: &u32| file.points.contains_key(second) || gone.contains(second);
            let missing: Vec<u32> = sent.keys().copied().filter(|it| !has(it)).collect();
            let mut promised = missing.iter().filter(|second| is_promised(**second));
            if let Some(first) = promised.next() {
                let is_excused = kept.is_before(*first, changed);
                assert!(
                    is_excused,
                    "{metric}, changed before {changed}, lacks {first}"
                );
                let later = promised.find(|second| **second >= changed);
                assert_eq!(later, None, "{metric}, changed before {changed}");
                unmended += 1;
            }
            gone.extend(missing);
        }
        assert!(
            unmended <= kept.unmended_max,
            "{unmended} files lack the last seconds"
        );
        let seconds = self.load.sent_at.keys();
        seconds.filter(|second| !is_promised(**second)).count()
    }

    /// Every point was written once, and none was given up.
    fn end(self) {
        let ended = self.daemon.stop();
        assert!(ended.status.success(), "{}", ended.log);
        assert_eq!(
            balance(&ended.log).committed,
            self.load.points(),
            "{}",
            ended.log
        );
        let counts = counted(&ended.log);
        assert!(counts["writtenAgain"] > 0, "{}", ended.log);
        assert_eq!(counts.get("setAside"), None, "{}", ended.log);
    }
}

/// An empty file of a layout.
fn template(directory: &Path, layout: &[(u32, u32)]) -> PathBuf {
    let file = directory.join(format!("{}.template", layout[0].1));
    let archives: Vec<String> = layout
        .iter()
        .map(|(step, points)| format!("({step}, {points})"))
        .collect();
    python(
        &format!(
            "import sys, whisper; whisper.create(sys.argv[1], [{}])",
            archives.join(", ")
        ),
        &[file.to_str().unwrap()],
    );
    file
}

#[test]
fn files_of_other_layouts_copied_over_many_under_load_are_taken_as_they_are() {
    let mut site = Site::new();
    let directory = tempfile::tempdir().unwrap();
    let templates = OTHERS.map(|layout| (layout, template(directory.path(), layout)));
    for (layout, template) in templates.iter().cycle().take(passes()) {
        site.run("cp \"$2\" \"$1\"", |_metric| template.clone());
        site.check(layout, Kept::default());
    }
    site.end();
}

#[test]
fn many_files_deleted_under_load_are_made_again() {
    let mut site = Site::new();
    for _pass in 0..passes() {
        site.run("rm \"$1\"", |_metric| PathBuf::new());
        site.check(SCHEMA, Kept::default());
    }
    site.end();
}

/// In place and by another file's name, from copies that are some seconds old.
#[test]
fn older_copies_restored_over_many_files_under_load_lose_what_is_promised_to_none() {
    let mut site = Site::new();
    let directory = tempfile::tempdir().unwrap();
    let scripts = [
        // An update that has read the file before and writes it after finds no fault with it, and the
        // next one finds what that one wrote: of the files that were just at work it mends none.
        ("cp -p \"$2\" \"$1\"", METRICS / 2),
        // Copied beside it first, so that the file changes in one moment.
        (
            "cp -p \"$2\" \"$1.restored\"; mv -f \"$1.restored\" \"$1\"",
            0,
        ),
    ];
    let mut older = 0;
    for (pass, (script, unmended_max)) in scripts.iter().cycle().take(passes()).enumerate() {
        let (backup, last) = (directory.path().join(pass.to_string()), site.load.time);
        let data = site.daemon.data();
        site.load
            .until("all of it is written", &site.daemon, |_load| {
                Site::all_have(&data, last)
            });
        fs::create_dir_all(backup.join("tool")).unwrap();
        site.run("cp -p \"$1\" \"$2\"", |metric| Site::file(&backup, metric));
        // Older than what is remembered, so that it is seen which points are a backup's to lose.
        let made = Instant::now();
        site.load.until("time passes", &site.daemon, |_load| {
            made.elapsed() > REMEMBERED
        });
        site.run(script, |metric| Site::file(&backup, metric));
        let backup = Some(last);
        let unmended_max = *unmended_max;
        older += site.check(
            SCHEMA,
            Kept {
                backup,
                unmended_max,
            },
        );
    }
    assert!(older > 0, "no copy was older than what is remembered");
    site.end();
}
