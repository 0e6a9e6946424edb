//! Every path leaves the same bytes, in files that it made and in files that were there.

use std::fs;
use std::path::Path;

use benzene_engine::whisper::{Aggregation, Header, Retention};

use super::*;

type Make = fn() -> Result<Box<dyn WritePath>>;

const PATHS: [(&str, Make); 6] = [
    ("system calls", || Ok(Box::new(SystemCalls))),
    ("kept", || Ok(Box::new(KeptDescriptors::new()))),
    ("glommio", || Ok(Box::new(Glommio::new(16)?))),
    ("glommio, one", || Ok(Box::new(Glommio::new(1)?))),
    ("tokio-uring", || Ok(Box::new(TokioUring::new(16)?))),
    ("tokio-uring, one", || Ok(Box::new(TokioUring::new(1)?))),
];

fn header() -> Header {
    let archives = [(10, 30), (60, 20)].map(|(step_s, points)| Retention { step_s, points });
    Header::new(&archives, 0.0, Aggregation::Average).unwrap()
}

/// Three rounds, the first of which makes the files: the ring of the finest archive wraps.
fn rounds(dir: &Path) -> Vec<Arc<Round>> {
    let target = |number: u32| Target {
        number,
        metric: format!("m{number}"),
        path: dir.join(format!("m{number}.wsp")),
    };
    let targets = Arc::new((0..40).map(target).collect::<Vec<_>>());
    let round = |now_s: u32, points: u32| Round {
        targets: Arc::clone(&targets),
        header: header(),
        now_s,
        points,
        creates: now_s == 1_000_000,
    };
    let rounds = [
        (1_000_000, 7),
        (1_000_010, 1),
        (1_000_250, 24),
        (1_000_300, 5),
    ];
    rounds
        .map(|(now_s, points)| Arc::new(round(now_s, points)))
        .to_vec()
}

#[test]
fn all_paths_leave_the_same_bytes_and_time_every_file() {
    let mut expected: Option<Vec<Vec<u8>>> = None;
    for (name, make) in PATHS {
        let dir = tempfile::tempdir().unwrap();
        let rounds = rounds(dir.path());
        let mut path = make().unwrap();
        let mut latencies = Latencies::new().unwrap();
        for round in &rounds {
            path.prepare(round).unwrap();
            path.carry_out(round, &mut latencies).unwrap();
        }
        path.close().unwrap();
        assert_eq!(latencies.count(), 4 * 40, "{name}");
        assert!(latencies.percentile(50.0) > Duration::ZERO, "{name}");
        let files = rounds[0].targets.iter();
        let files: Vec<Vec<u8>> = files
            .map(|target| fs::read(&target.path).unwrap())
            .collect();
        assert!(
            files
                .iter()
                .all(|file| file.len() as u64 == header().file_bytes()),
            "{name}"
        );
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 40, "{name} left a hidden file");
        match &expected {
            None => expected = Some(files),
            Some(expected) => assert!(*expected == files, "{name} wrote something else"),
        }
    }
}

#[test]
fn a_file_that_is_gone_ends_the_measurement() {
    for (name, make) in PATHS {
        let dir = tempfile::tempdir().unwrap();
        let rounds = rounds(dir.path());
        let mut path = make().unwrap();
        let mut latencies = Latencies::new().unwrap();
        let error = path.carry_out(&rounds[1], &mut latencies).unwrap_err();
        assert!(
            format!("{error:#}").contains("is gone"),
            "{name}: {error:#}"
        );
        path.close().unwrap();
    }
}
