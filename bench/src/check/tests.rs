//! `check` against files written here by hand: what is there is found, and each way in which a
//! file can fail is told apart. The layout follows the Whisper format, not the engine's writer.

use std::fs;

use super::*;
use crate::workload::tests::shape;

/// 2020-09-13, a multiple of 600.
const START: u32 = 1_600_000_200;

fn args(dir: &Path, shape: Shape) -> CheckArgs {
    CheckArgs {
        dir: dir.to_owned(),
        shape,
        start: START,
        examples: 5,
        threads: 3,
    }
}

/// A file of one archive with these points, each at its place from the first one's interval on.
fn whisper_file((step_s, slots): (u32, u32), points: &[(u32, f64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [1, step_s * slots] {
        bytes.extend_from_slice(&u32::to_be_bytes(word));
    }
    bytes.extend_from_slice(&0.5_f32.to_be_bytes());
    for word in [1, 28, step_s, slots] {
        bytes.extend_from_slice(&u32::to_be_bytes(word));
    }
    let mut archive = vec![[0; 12]; slots as usize];
    let base = points
        .first()
        .map_or(0, |(timestamp, _)| timestamp - timestamp % step_s);
    for (timestamp, value) in points {
        let interval = timestamp - timestamp % step_s;
        let slot = &mut archive[((interval - base) / step_s % slots) as usize];
        slot[..4].copy_from_slice(&interval.to_be_bytes());
        slot[4..].copy_from_slice(&value.to_be_bytes());
    }
    bytes.extend(archive.concat());
    bytes
}

/// Writes each metric's file with the points that were sent.
fn write_all(dir: &Path, workload: &Workload, layout: (u32, u32)) {
    for index in 0..workload.metrics() {
        write(
            dir,
            workload,
            index,
            &whisper_file(layout, &sent(workload, index)),
        );
    }
}

fn sent(workload: &Workload, index: u32) -> Vec<(u32, f64)> {
    (0..workload.rounds())
        .map(|round| {
            let value = f64::from(workload.value(index, round));
            (workload.timestamp(round), value)
        })
        .collect()
}

fn path(dir: &Path, workload: &Workload, index: u32) -> PathBuf {
    dir.join(format!("{}.wsp", workload.name(index).replace('.', "/")))
}

fn write(dir: &Path, workload: &Workload, index: u32, bytes: &[u8]) {
    let path = path(dir, workload, index);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn found(shape: Shape, layout: (u32, u32), harm: impl FnOnce(&Path, &Workload)) -> Findings {
    let dir = tempfile::tempdir().unwrap();
    let workload = Workload::new(shape.clone(), START).unwrap();
    write_all(dir.path(), &workload, layout);
    harm(dir.path(), &workload);
    check(&args(dir.path(), shape), &workload).unwrap()
}

fn counts(findings: &Findings) -> [u64; 5] {
    [
        &findings.files_missing,
        &findings.files_unreadable,
        &findings.missing,
        &findings.wrong,
        &findings.extra,
    ]
    .map(|tally| tally.count)
}

#[test]
fn everything_that_was_sent_is_found() {
    let findings = found(shape(205, 6, 10), (10, 360), |_, _| {});
    assert_eq!((findings.files, findings.found), (205, 205 * 6));
    assert_eq!((counts(&findings), findings.replaced), ([0; 5], 0));
    assert!(findings.is_sound());
}

#[test]
fn each_way_to_fail_is_told_apart() {
    let findings = found(shape(205, 6, 10), (10, 360), |dir, workload| {
        fs::remove_file(path(dir, workload, 7)).unwrap();
        write(dir, workload, 8, b"no whisper file");
        let whole = whisper_file((10, 360), &sent(workload, 9));
        write(dir, workload, 9, &whole[..whole.len() - 1]);
        let layout = (10, 360);
        write(
            dir,
            workload,
            10,
            &whisper_file(layout, &sent(workload, 10)[..4]),
        );
        let mut points = sent(workload, 11);
        points[3].1 += 0.5;
        points.push((START + 60, 1.0));
        write(dir, workload, 11, &whisper_file(layout, &points));
        write(dir, workload, 12, &whisper_file(layout, &[]));
    });
    assert_eq!(counts(&findings), [1, 2, 2 + 6, 1, 1]);
    assert_eq!(findings.found, 205 * 6 - 3 * 6 - 2 - 1 - 6);
    assert!(!findings.is_sound());
    let wrong = &findings.wrong.examples[0];
    assert!(
        wrong.starts_with("bench.load.host-000000.app.metric-11 1600000230: "),
        "{wrong}"
    );
}

#[test]
fn a_point_in_another_slot_than_a_reader_looks_in_is_missing() {
    let findings = found(shape(1, 3, 10), (10, 360), |dir, workload| {
        let mut bytes = whisper_file((10, 360), &sent(workload, 0));
        let third = bytes[28 + 24..28 + 36].to_vec();
        bytes[28 + 24..28 + 36].fill(0);
        bytes[28 + 48..28 + 60].copy_from_slice(&third);
        write(dir, workload, 0, &bytes);
    });
    assert_eq!((findings.missing.count, findings.found), (1, 2));
}

#[test]
fn what_later_points_replace_is_not_looked_for_and_said() {
    // Six rounds of 10 s in slots of 30 s: each third one stays.
    let coarse = found(shape(2, 6, 10), (30, 360), |_, _| {});
    assert_eq!(
        (counts(&coarse), coarse.found, coarse.replaced),
        ([0; 5], 4, 8)
    );
    // Six rounds in four slots: the last four stay.
    let short = found(shape(2, 6, 10), (10, 4), |_, _| {});
    assert_eq!(
        (counts(&short), short.found, short.replaced),
        ([0; 5], 8, 4)
    );
}
