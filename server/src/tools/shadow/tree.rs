//! The files of the shadow and those of the daemon that runs, pair by pair.
//! Every file of the shadow is read whole, and with it its counterpart; files that the daemon has
//! written to in the time of the shadow and that the shadow lacks are counted too, by their mtime.
//! Only reads. One file at a time, however many there are. What cannot be read is a finding.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::compare::{self, Tally};

/// Something that was counted, with its first places.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) count: u64,
    pub(super) examples: Vec<String>,
}

impl Places {
    fn add(&mut self, examples_max: usize, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < examples_max {
            self.examples.push(example());
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Metrics that both have.
    pub(super) metrics: u64,
    /// Their points together.
    pub(super) points: Tally,
    /// Metrics whose points contradict each other.
    pub(super) contradicting: Places,
    /// Files that cannot be compared.
    pub(super) unlike: Places,
    /// Metrics that only the shadow has.
    pub(super) only_ours: Places,
    /// Metrics that the daemon has written to and the shadow never saw.
    pub(super) only_theirs: Places,
}

impl Findings {
    /// Nothing contradicts that both have stored the same.
    pub(super) fn agree(&self) -> bool {
        self.contradicting.count == 0 && self.unlike.count == 0
    }
}

/// Where both keep their files, and since when they do so side by side.
#[derive(Clone, Debug)]
pub(super) struct Trees<'a> {
    /// The shadow's data directory.
    pub(super) ours: &'a Path,
    /// The daemon's.
    pub(super) theirs: &'a Path,
    /// A directory below both that is each daemon's own: its metrics of itself.
    pub(super) own_metrics: &'a Path,
    /// Unix seconds.
    pub(super) began_s: u32,
    /// The same, as exact as the times of files are.
    pub(super) since: SystemTime,
    /// How many places of each kind are kept.
    pub(super) examples_max: usize,
}

impl Trees<'_> {
    /// Compares all that there is.
    pub(super) fn compare(&self) -> Findings {
        let mut findings = Findings::default();
        let max = self.examples_max;
        self.walk(self.ours, &mut |place, _| self.pair(place, &mut findings));
        self.walk(self.theirs, &mut |place, path| {
            let is_fresh = fs::metadata(path)
                .and_then(|found| found.modified())
                .is_ok_and(|modified| modified >= self.since);
            if is_fresh && !self.ours.join(place).exists() {
                findings.only_theirs.add(max, || metric(place));
            }
        });
        findings
    }

    fn pair(&self, place: &Path, findings: &mut Findings) {
        let max = self.examples_max;
        let theirs = match fs::read(self.theirs.join(place)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return findings.only_ours.add(max, || metric(place));
            }
            Err(error) => {
                return findings
                    .unlike
                    .add(max, || format!("{}: {error}", metric(place)));
            }
        };
        let ours = match fs::read(self.ours.join(place)) {
            Ok(bytes) => bytes,
            Err(error) => {
                return findings
                    .unlike
                    .add(max, || format!("{}: {error}", metric(place)));
            }
        };
        match compare::compare(&ours, &theirs, self.began_s) {
            Ok(tally) => {
                findings.metrics += 1;
                findings.points.add(&tally);
                if !tally.agrees() {
                    findings.contradicting.add(max, || {
                        format!(
                            "{}: {} points differ, {} only in the shadow, {} only in the other",
                            metric(place),
                            tally.differ,
                            tally.only_ours,
                            tally.only_theirs
                        )
                    });
                }
            }
            Err(unlike) => findings
                .unlike
                .add(max, || format!("{}: {unlike}", metric(place))),
        }
    }

    /// Every Whisper file below a data directory but those of its own metrics: its place below it, and
    /// its path. Links are followed to files, not to directories, so that no circle is walked.
    fn walk(&self, root: &Path, visit: &mut dyn FnMut(&Path, &Path)) {
        let own = root.join(self.own_metrics);
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            if directory == own {
                continue;
            }
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path: PathBuf = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(path);
                } else if path.extension().is_some_and(|end| end == "wsp")
                    && let Ok(place) = path.strip_prefix(root)
                {
                    visit(place, &path);
                }
            }
        }
    }
}

/// As a reader names it; tagged metrics by their file.
fn metric(place: &Path) -> String {
    let name = place.with_extension("");
    if name.starts_with("_tagged") {
        return place.display().to_string();
    }
    name.display().to_string().replace('/', ".")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use benzene_engine::whisper::{Aggregation, Header, Retention};

    use super::*;

    fn put(root: &Path, place: &str, bytes: &[u8]) {
        let path = root.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn every_kind_of_pair_is_found_and_own_metrics_are_left_out() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let retentions = [Retention {
            step_s: 10,
            points: 6,
        }];
        let header = Header::new(&retentions, 0.5, Aggregation::Average).unwrap();
        let mut file = header.encode();
        file.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
        for root in [ours.path(), theirs.path()] {
            put(root, "a/both.wsp", &file);
            put(root, "carbon/agents/h-a/cpuUsage.wsp", b"own");
        }
        put(ours.path(), "a/new.wsp", &file);
        put(ours.path(), "a/broken.wsp", &file);
        put(theirs.path(), "a/broken.wsp", b"");
        put(theirs.path(), "b/other.wsp", &file);
        put(theirs.path(), "b/notes.txt", b"");
        let began = SystemTime::UNIX_EPOCH;
        let trees = |since| Trees {
            ours: ours.path(),
            theirs: theirs.path(),
            own_metrics: Path::new("carbon/agents"),
            began_s: 0,
            since,
            examples_max: 3,
        };
        let found = trees(began).compare();
        assert_eq!(found.metrics, 1);
        assert_eq!(found.only_ours.examples, ["a.new"]);
        assert_eq!(found.only_theirs.examples, ["b.other"]);
        assert_eq!(found.unlike.count, 1);
        assert!(found.unlike.examples[0].starts_with("a.broken: the other file"));
        assert!(!found.agree());
        let later = trees(began + Duration::from_secs(1 << 33));
        assert_eq!(later.compare().only_theirs.count, 0);
    }
}
