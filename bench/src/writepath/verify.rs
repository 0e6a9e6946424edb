//! Reads back what a round wrote, through the engine's own `fetch`, and compares it with what the
//! points alone say: every point of the finest archive, and every coarser point that they reach.
//! Run behind every measurement: a path that left something out, or wrote it elsewhere, cannot look
//! fast. The first difference ends the run.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::ring::ByteRange;
use benzene_engine::whisper::{
    FetchAnswer, FetchRequest, HEAD_READ_BYTES, Header, Image, Series as Values, fetch,
};
use benzene_rivals::Round;

/// Values are averages of whole numbers below 65,536.
const TOLERANCE: f64 = 1e-6;

/// Every file of a round.
pub(crate) fn verify(round: &Round) -> Result<()> {
    for target in round.targets.iter() {
        let read = Read::open(&target.path)?;
        ensure!(
            read.header == round.header,
            "{} has another layout: {:?}",
            target.path.display(),
            read.header
        );
        let series = round.series(target);
        for (level, archive) in round.header.archives.iter().enumerate() {
            let from_s = round.first_s() - round.first_s() % archive.step_s;
            let found = read.values(from_s, round.now_s, archive.step_s)?;
            let mut at = i64::from(from_s);
            ensure!(found.from_s == at, "{} instead of {at}", found.from_s);
            for value in found.values {
                let expected = series.value(level, u32::try_from(at)?);
                let same = match (value, expected) {
                    (Some(value), Some(expected)) => (value - expected).abs() < TOLERANCE,
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                ensure!(
                    same,
                    "{} has {value:?} at {at} in archive {level}, not {expected:?}",
                    target.path.display()
                );
                at += i64::from(archive.step_s);
            }
            ensure!(at > i64::from(round.now_s), "values end at {at}");
        }
    }
    Ok(())
}

struct Read {
    file: File,
    header: Header,
    head: Vec<u8>,
}

impl Read {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let head = read(&file, head())?;
        let header = Header::parse(&head)?;
        Ok(Self { file, header, head })
    }

    /// The values of one archive between two times, both included.
    fn values(&self, from_s: u32, until_s: u32, step_s: u32) -> Result<Values> {
        let request = FetchRequest {
            // What is fetched begins behind `from_s`.
            from_s: i64::from(from_s) - 1,
            until_s: i64::from(until_s),
            now_s: i64::from(until_s),
            step_s: Some(step_s),
        };
        let plan = fetch(&self.header, request)?.context("nothing to fetch")?;
        let mut image = Image::new();
        image.add(head(), self.head.clone());
        // The base, then the slots.
        for _ in 0..=2 {
            match plan.answer(&image)? {
                FetchAnswer::Series(values) => return Ok(values),
                FetchAnswer::Need(ranges) => {
                    for range in ranges {
                        image.add(range, read(&self.file, range)?);
                    }
                }
            }
        }
        bail!("a fetch asks for more and more")
    }
}

const fn head() -> ByteRange {
    ByteRange {
        offset: 0,
        len: HEAD_READ_BYTES,
    }
}

fn read(file: &File, range: ByteRange) -> Result<Vec<u8>> {
    let mut bytes = vec![0; range.len as usize];
    file.read_exact_at(&mut bytes, range.offset)
        .context("cannot read")?;
    Ok(bytes)
}
