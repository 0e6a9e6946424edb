//! The files of the shadow and those of the daemon that runs, pair by pair.
//! Every file of the shadow is read whole, and with it its counterpart, in whichever of the daemon's data
//! directories it is; files that the daemon has written to in the time of the shadow and that the shadow
//! lacks are counted too, by their mtime, and each once, by whatever links it has several names.
//! Only reads. One file at a time, however many there are. What cannot be read is a finding.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashbrown::HashSet;

use super::compare::{self, Tally};
use crate::tools::whisper_files::{Identity, WhisperFile, WhisperFiles, identity};

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
    /// Metrics that are otherwise here than there, which points that the shadow has lost may explain.
    pub(super) unsure: Places,
}

impl Findings {
    /// Nothing contradicts that both have stored the same.
    pub(super) fn agree(&self) -> bool {
        self.contradicting.count == 0 && self.unlike.count == 0 && self.unsure.count == 0
    }
}

/// Where both keep their files, and since when they do so side by side.
#[derive(Clone, Debug)]
pub(super) struct Trees<'a> {
    /// The shadow's data directory.
    pub(super) ours: &'a Path,
    /// The daemon's.
    pub(super) theirs: &'a [&'a Path],
    /// A directory below both that is each daemon's own: its metrics of itself.
    pub(super) own_metrics: &'a Path,
    /// Unix seconds.
    pub(super) began_s: u32,
    /// The same, as exact as the times of files are.
    pub(super) since: SystemTime,
    /// The shadow has stored all that it got. Where it has not, nobody knows of which metrics, and what
    /// it lacks says nothing.
    pub(super) is_whole: bool,
    /// How many places of each kind are kept.
    pub(super) examples_max: usize,
}

impl Trees<'_> {
    /// Compares all that there is.
    pub(super) fn compare(&self) -> Findings {
        let mut findings = Findings::default();
        let mut paired = HashSet::new();
        for file in self.walk(&[self.ours]) {
            paired.extend(self.pair(&file.place, &mut findings));
        }
        for file in self.walk(self.theirs) {
            let is_alone = fs::metadata(&file.path).is_ok_and(|found| {
                let is_fresh = found.modified().is_ok_and(|time| time >= self.since);
                is_fresh && !paired.contains(&identity(&found))
            });
            if is_alone {
                let places = if self.is_whole {
                    &mut findings.only_theirs
                } else {
                    &mut findings.unsure
                };
                places.add(self.examples_max, || metric(&file.place));
            }
        }
        findings
    }

    /// Compares a file of ours with its counterpart, and says which file that is.
    fn pair(&self, place: &Path, findings: &mut Findings) -> Option<Identity> {
        let max = self.examples_max;
        let unreadable = |error: io::Error| format!("{}: {error}", metric(place));
        let (path, found) = match self.counterpart(place) {
            Ok(Some(counterpart)) => counterpart,
            Ok(None) => {
                findings.only_ours.add(max, || metric(place));
                return None;
            }
            Err(error) => {
                findings.unlike.add(max, || unreadable(error));
                return None;
            }
        };
        let read = fs::read(path).and_then(|theirs| Ok((fs::read(self.ours.join(place))?, theirs)));
        let compared = read.map_err(unreadable).and_then(|(ours, theirs)| {
            compare::compare(&ours, &theirs, self.began_s)
                .map_err(|unlike| format!("{}: {unlike}", metric(place)))
        });
        match compared {
            Ok(tally) => self.judge(place, &tally, findings),
            Err(unlike) => findings.unlike.add(max, || unlike),
        }
        Some(identity(&found))
    }

    /// Counts what the comparison of a metric has found. A lost point explains another value, which the
    /// next point of its slot left there, and that we lack one; not that we have one that is not there.
    fn judge(&self, place: &Path, tally: &Tally, findings: &mut Findings) {
        let is_unsure = !self.is_whole && !tally.agrees() && tally.only_ours == 0;
        findings.metrics += 1;
        findings.points.add(&if is_unsure {
            Tally {
                differ: 0,
                only_theirs: 0,
                ..*tally
            }
        } else {
            *tally
        });
        let places = if is_unsure {
            &mut findings.unsure
        } else if tally.agrees() {
            return;
        } else {
            &mut findings.contradicting
        };
        places.add(self.examples_max, || {
            format!(
                "{}: {} points differ, {} only in the shadow, {} only in the other",
                metric(place),
                tally.differ,
                tally.only_ours,
                tally.only_theirs
            )
        });
    }

    /// The daemon's file of a metric; of several that which was written to last.
    fn counterpart(&self, place: &Path) -> io::Result<Option<(PathBuf, Metadata)>> {
        let mut newest: Option<(PathBuf, Metadata)> = None;
        for root in self.theirs {
            let path = root.join(place);
            match fs::metadata(&path) {
                Ok(found) => {
                    let time = found.modified()?;
                    let other = newest.as_ref().map(|(_, other)| other.modified());
                    if other.transpose()?.is_none_or(|other| other < time) {
                        newest = Some((path, found));
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    /// Every Whisper file below data directories but those of the daemons' own metrics.
    fn walk<'b>(&'b self, roots: &[&'b Path]) -> impl Iterator<Item = WhisperFile> + 'b {
        let files = WhisperFiles::below(roots);
        files.filter(|file| !file.place.starts_with(self.own_metrics))
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
    use std::os::unix::fs::symlink;
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
        let [ours, theirs, second] = [(); 3].map(|()| tempfile::tempdir().unwrap());
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
        // Another of its data directories, and links: the file of a metric is one, by whatever name.
        put(second.path(), "c/second.wsp", &file);
        put(ours.path(), "c/second.wsp", &file);
        put(ours.path(), "alias/second.wsp", &file);
        symlink(second.path().join("c"), theirs.path().join("alias")).unwrap();
        symlink(theirs.path(), theirs.path().join("circle")).unwrap();
        let began = SystemTime::UNIX_EPOCH;
        let running = [theirs.path(), second.path()];
        let trees = |since| Trees {
            ours: ours.path(),
            theirs: &running,
            own_metrics: Path::new("carbon/agents"),
            began_s: 0,
            since,
            is_whole: true,
            examples_max: 3,
        };
        let found = trees(began).compare();
        assert_eq!(found.metrics, 3);
        assert_eq!(found.only_ours.examples, ["a.new"]);
        assert_eq!(found.only_theirs.examples, ["b.other"]);
        assert_eq!(found.unlike.count, 1);
        assert!(found.unlike.examples[0].starts_with("a.broken: the other file"));
        assert!(!found.agree());
        let lossy = Trees {
            is_whole: false,
            ..trees(began)
        };
        let found = lossy.compare();
        assert_eq!(found.only_theirs.count, 0);
        assert_eq!(found.unsure.examples, ["b.other"]);
        let later = trees(began + Duration::from_secs(1 << 33));
        assert_eq!(later.compare().only_theirs.count, 0);
    }

    #[test]
    fn what_lost_points_may_explain_contradicts_nothing() {
        let judge = |is_whole, tally: Tally| {
            let trees = Trees {
                ours: Path::new("ours"),
                theirs: &[],
                own_metrics: Path::new("carbon/agents"),
                began_s: 0,
                since: SystemTime::UNIX_EPOCH,
                is_whole,
                examples_max: 1,
            };
            let mut findings = Findings::default();
            trees.judge(Path::new("a/b.wsp"), &tally, &mut findings);
            findings
        };
        let lacks = Tally {
            equal: 5,
            differ: 1,
            only_theirs: 2,
            ..Tally::default()
        };
        let more = Tally {
            only_ours: 1,
            ..lacks
        };
        for (is_whole, tally, contradicting, unsure) in [
            (true, lacks, 1, 0),
            (false, lacks, 0, 1),
            (false, more, 1, 0),
            (false, Tally::default(), 0, 0),
        ] {
            let found = judge(is_whole, tally);
            let counts = (found.contradicting.count, found.unsure.count);
            assert_eq!(counts, (contradicting, unsure), "{is_whole} {tally:?}");
            assert_eq!(found.agree(), contradicting + unsure == 0);
        }
        let points = judge(false, lacks).points;
        assert_eq!((points.equal, points.differ, points.only_theirs), (5, 0, 0));
    }
}
