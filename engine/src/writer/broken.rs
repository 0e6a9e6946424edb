//! Files that are certainly broken get another name, so that theirs is free for a new file.
//! Certain is: two looks at least `LOOK_AGAIN` apart found the same inode, size and time of the last
//! write, and an update had just failed on it each time. A copy or a restore passes through any
//! length, but changes size or time; each change begins anew. See docs/decisions/0012.
//! Nothing is deleted, and nothing is written to what was set aside. Bounded by `LOOKS_KEPT_MAX`:
//! past it a series waits as for any other fault. What fails here leaves the series parked.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::faults::Fault;
use super::jobs::Job;
use super::{Ledger, Now, Writer};
use crate::cache::{SeriesId, Standing};
use crate::limits::{LOOKS_IN_FLIGHT_MAX, LOOKS_KEPT_MAX, PATH_COMPONENT_BYTES_MAX};
use crate::ring::{FileError, FileLook, FileOperation, FileOutcome};
use crate::stats::Counter;

/// How far apart two looks are at least that prove a file broken.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A series that was not looked at for so long is gone or was mended: retries are a minute apart at
/// most, and a slow limiter may hold one back for a while.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// A series whose file was found broken, on its way to the next look.
#[derive(Debug)]
pub(super) struct Suspect {
    series: SeriesId,
    path: PathBuf,
    fault: Fault,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    look: FileLook,
    first: Instant,
    last: Instant,
}

/// The looks that were taken, by series.
#[derive(Debug, Default)]
pub(super) struct Broken {
    seen: HashMap<SeriesId, Seen>,
}

impl Broken {
    /// A broken file looks like this now. Whether it is certain that it stays so.
    fn is_certain(&mut self, series: SeriesId, look: FileLook, now: Instant) -> bool {
        if let Some(seen) = self.seen.get_mut(&series) {
            if seen.look == look {
                seen.last = now;
                return now.saturating_duration_since(seen.first) >= LOOK_AGAIN;
            }
        } else if self.seen.len() >= LOOKS_KEPT_MAX {
            let is_gone = |seen: &Seen| now.saturating_duration_since(seen.last) >= FORGOTTEN_AFTER;
            self.seen.retain(|_, seen| !is_gone(seen));
            if self.seen.len() >= LOOKS_KEPT_MAX {
                return false;
            }
        }
        let (first, last) = (now, now);
        self.seen.insert(series, Seen { look, first, last });
        false
    }

    /// The series' file is sound, gone, or set aside.
    pub(super) fn forget(&mut self, series: SeriesId) {
        if !self.seen.is_empty() {
            self.seen.remove(&series);
        }
    }
}

impl Writer {
    /// An update found a file broken: its series is parked, and the file is looked at.
    pub(super) fn suspect(
        &mut self,
        ledger: &mut Ledger,
        series: SeriesId,
        fault: Fault,
        now: Now,
    ) {
        let volume = ledger.volume(series);
        if self.jobs.looks(volume) >= LOOKS_IN_FLIGHT_MAX {
            return self.park(ledger, series, &fault, now);
        }
        // Parked without a retry: whoever takes the answer gives it one.
        ledger.set_standing(series, Standing::Parked);
        let path = self.path(ledger, series);
        let operation = FileOperation::Look { path: path.clone() };
        let suspect = Suspect {
            series,
            path,
            fault,
        };
        let token = self.jobs.insert(volume, Job::Look(suspect));
        self.operations.push((token, operation));
    }

    /// Takes the answer to a look: the file waits, or is set aside.
    pub(super) fn step_look(
        &mut self,
        ledger: &mut Ledger,
        suspect: Suspect,
        result: Result<FileOutcome, FileError>,
        now: Now,
    ) {
        let series = suspect.series;
        // Its points were dropped meanwhile, and it was forgotten.
        if !ledger.is_parked(series) {
            return self.broken.forget(series);
        }
        match result {
            Ok(FileOutcome::Looked(Some(look))) => {
                let is_broken = suspect.fault.is_broken_at(look.bytes);
                if !is_broken || !self.broken.is_certain(series, look, now.instant) {
                    return self.park(ledger, series, &suspect.fault, now);
                }
                let aside = aside(&suspect.path, now.unix_seconds);
                let operation = FileOperation::SetAside {
                    path: suspect.path.clone(),
                    aside: aside.clone(),
                    look,
                };
                let volume = ledger.volume(series);
                let token = self.jobs.insert(volume, Job::SetAside(suspect, aside));
                self.operations.push((token, operation));
            }
            // Somebody took it away: it is looked for again like any other.
            Ok(FileOutcome::Looked(None)) => {
                self.broken.forget(series);
                self.park(ledger, series, &suspect.fault, now);
            }
            Err(error) => self.park(ledger, series, &Fault::Io(error), now),
            Ok(outcome) => unreachable!("a look was answered with {outcome:?}"),
        }
    }

    /// Takes the answer to a rename to this name: a new file is made, or the old one goes on waiting.
    pub(super) fn step_aside(
        &mut self,
        ledger: &mut Ledger,
        (suspect, aside): (&Suspect, &Path),
        result: Result<FileOutcome, FileError>,
        now: Now,
    ) {
        let series = suspect.series;
        self.broken.forget(series);
        let renamed = match result {
            Ok(FileOutcome::SetAside) => {
                ledger.count(Counter::SetAside, 1);
                self.faults
                    .say_aside(&suspect.path, aside, &suspect.fault, now.instant);
                Ok(())
            }
            Ok(outcome) => unreachable!("a rename was answered with {outcome:?}"),
            Err(error) => Err(error),
        };
        if !ledger.is_parked(series) {
            return;
        }
        match renamed {
            Ok(()) => {
                self.parked.succeeded(series);
                ledger.set_standing(series, Standing::Unproven);
            }
            // It changed in the last moment: somebody is at work on it.
            Err(error) if error.is_stale() => self.park(ledger, series, &suspect.fault, now),
            Err(error) => self.park(ledger, series, &Fault::Io(error), now),
        }
    }
}

impl FileError {
    /// The file is not the one that was looked at.
    fn is_stale(self) -> bool {
        self.errno == rustix::io::Errno::STALE.raw_os_error()
    }
}

/// The name of a file that is set aside: no reader's suffix is at its end. A name that has no room
/// for more loses its own end.
fn aside(path: &Path, unix_seconds: u32) -> PathBuf {
    let suffix = format!(".broken-{unix_seconds}");
    let name = path.file_name().unwrap_or_default().as_bytes();
    let kept = name.len().min(PATH_COMPONENT_BYTES_MAX - suffix.len());
    let mut bytes = name[..kept].to_vec();
    bytes.extend_from_slice(suffix.as_bytes());
    path.with_file_name(OsString::from_vec(bytes))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some Instant to count from"
)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gets_a_suffix_and_stays_a_name() {
        let beside = aside(Path::new("/data/a/b.wsp"), 1_700_000_000);
        assert_eq!(beside, Path::new("/data/a/b.wsp.broken-1700000000"));
        let long = "x".repeat(PATH_COMPONENT_BYTES_MAX - 4) + ".wsp";
        let beside = aside(&Path::new("/data").join(long), 1_700_000_000);
        let name = beside.file_name().unwrap();
        assert_eq!(name.len(), PATH_COMPONENT_BYTES_MAX);
        assert!(name.to_str().unwrap().ends_with("xxx.broken-1700000000"));
    }

    #[test]
    fn only_two_equal_looks_a_minute_apart_are_certain() {
        let (mut broken, start) = (Broken::default(), Instant::now());
        let series = SeriesId::default();
        let look = FileLook {
            inode: 1,
            bytes: 0,
            modified_s: 5,
            modified_ns: 5,
        };
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!broken.is_certain(series, look, start));
        assert!(!broken.is_certain(series, look, after(59)));
        for changed in [
            FileLook { inode: 2, ..look },
            FileLook { bytes: 1, ..look },
            FileLook {
                modified_s: 6,
                ..look
            },
            FileLook {
                modified_ns: 6,
                ..look
            },
        ] {
            assert!(!broken.is_certain(series, changed, after(100)));
            assert!(!broken.is_certain(series, look, after(200)), "{changed:?}");
        }
        assert!(broken.is_certain(series, look, after(260)));
        broken.forget(series);
        assert!(!broken.is_certain(series, look, after(400)));
    }

    #[test]
    fn looks_are_bounded_and_those_of_gone_series_make_room() {
        let (mut broken, start) = (Broken::default(), Instant::now());
        let look = FileLook {
            inode: 1,
            bytes: 0,
            modified_s: 5,
            modified_ns: 5,
        };
        let most = u32::try_from(LOOKS_KEPT_MAX).unwrap();
        for number in 0..most {
            assert!(!broken.is_certain(SeriesId(number), look, start));
        }
        let (last, later) = (SeriesId(most), start + LOOK_AGAIN);
        assert!(!broken.is_certain(last, look, start));
        assert!(!broken.is_certain(last, look, later), "there was no room");
        assert!(broken.is_certain(SeriesId(0), look, later), "it had room");
        assert_eq!(broken.seen.len(), LOOKS_KEPT_MAX);
        assert!(!broken.is_certain(last, look, start + FORGOTTEN_AFTER));
        assert_eq!(broken.seen.len(), 2, "the one seen later, and this one");
    }
}
