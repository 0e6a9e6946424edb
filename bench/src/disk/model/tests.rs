//! What the models do under the loads that disks are measured by: random and sequential, one request
//! at a time and 32. The bands are those of real disks of the kind; the spread between products is
//! larger than what the tests allow.

use super::counters::Counters;
use super::params::{MS, ModelName, Params};
use super::*;

const GIB: u64 = 1 << 30;
const SECOND: u64 = 1000 * MS;

fn params(model: ModelName) -> Params {
    Params {
        model,
        bytes: 20 * GIB,
        stroke_percent: 20,
        write_cache: None,
    }
}

/// A generator that needs no crate: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Keeps `depth` requests outstanding for `until_ns`; `next` makes the offset of each. A host that
/// takes 50 us between an answer and its next request. Returns requests a second.
fn drive(model: &mut Model, load: &Load, mut next: impl FnMut() -> u64) -> u64 {
    const HOST_NS: u64 = 50_000;
    let request = |id, offset| Request {
        id,
        wanted: load.wanted,
        offset,
        bytes: load.bytes,
    };
    let mut answers = Vec::new();
    let mut answered = 0;
    for id in 0..load.depth {
        model.submit(request(id, next()), 0);
    }
    while let Some(now_ns) = model.next_ns().filter(|now_ns| *now_ns <= load.until_ns) {
        model.advance(now_ns, &mut answers);
        for answer in answers.drain(..) {
            answered += 1;
            model.submit(request(answer.id, next()), answer.at_ns + HOST_NS);
        }
    }
    answered * SECOND / load.until_ns
}

struct Load {
    wanted: Wanted,
    bytes: u64,
    depth: u64,
    until_ns: u64,
}

const READ_4K: Load = Load {
    wanted: Wanted::Read,
    bytes: 4096,
    depth: 1,
    until_ns: 20 * SECOND,
};

fn random_iops(params: &Params, load: &Load) -> (u64, Counters) {
    let mut model = Model::new(params);
    let mut random = Random(7);
    let blocks = params.bytes / 4096;
    let iops = drive(&mut model, load, || random.next() % blocks * 4096);
    (iops, *model.counters())
}

/// Megabytes a second.
fn sequential(params: &Params, load: &Load) -> u64 {
    let mut model = Model::new(params);
    let mut offset = 0;
    let rate = drive(&mut model, load, || {
        offset += load.bytes;
        offset - load.bytes
    });
    rate * load.bytes / 1_000_000
}

fn assert_in(what: &str, band: std::ops::RangeInclusive<u64>, value: u64) {
    println!("{what}: {value}");
    assert!(band.contains(&value), "{what}: {value}, not in {band:?}");
}

#[test]
fn random_reads_one_at_a_time_are_those_of_the_kind() {
    for (model, band, full_stroke) in [
        (ModelName::Hdd5400, 70..=95, 50..=65),
        (ModelName::Hdd7200, 110..=160, 70..=85),
        (ModelName::Hdd15k, 250..=330, 170..=200),
    ] {
        let (iops, counters) = random_iops(&params(model), &READ_4K);
        assert_in(model.name(), band, iops);
        assert_eq!(counters.outstanding_max, 1);
        assert!(counters.seeks * 100 > counters.reads * 95, "{counters:?}");
        let all = Params {
            stroke_percent: 100,
            ..params(model)
        };
        let (iops, counters) = random_iops(&all, &READ_4K);
        assert_in(
            &format!("{} over the full stroke", model.name()),
            full_stroke,
            iops,
        );
        let third = counters.head_travel_stroke_ppb / counters.seeks;
        assert_in(
            "mean way, of a thousand million",
            310_000_000..=350_000_000,
            third,
        );
    }
}

#[test]
fn a_deep_queue_gives_what_native_queuing_gives() {
    for (model, band) in [
        (ModelName::Hdd5400, 150..=300),
        (ModelName::Hdd7200, 150..=300),
        (ModelName::Hdd15k, 150..=300),
    ] {
        let (one, _) = random_iops(&params(model), &READ_4K);
        let deep = Load {
            depth: 32,
            ..READ_4K
        };
        let (many, counters) = random_iops(&params(model), &deep);
        assert_in(
            &format!("{} at 32, percent of 1", model.name()),
            band,
            many * 100 / one,
        );
        assert_eq!(counters.outstanding_max, 32);
        // More than the disk has tags for wait in the host, in the elevator's order.
        let deeper = Load {
            depth: 128,
            ..READ_4K
        };
        let (most, _) = random_iops(&params(model), &deeper);
        assert_in(
            &format!("{} at 128, percent of 32", model.name()),
            100..=180,
            most * 100 / many,
        );
    }
}

#[test]
fn sequential_requests_run_at_the_rate_of_the_outer_tracks() {
    let load = |wanted, depth| Load {
        wanted,
        bytes: 128 << 10,
        depth,
        until_ns: 5 * SECOND,
    };
    for (model, rate) in [
        (ModelName::Hdd5400, 60..=70),
        (ModelName::Hdd7200, 120..=138),
        (ModelName::Hdd15k, 185..=204),
    ] {
        for depth in [1, 8] {
            let name = format!("{}, MB/s read, {depth} at once", model.name());
            assert_in(
                &name,
                rate.clone(),
                sequential(&params(model), &load(Wanted::Read, depth)),
            );
        }
        let cached = Params {
            write_cache: Some(true),
            ..params(model)
        };
        let name = format!("{}, MB/s written, cached", model.name());
        // What is still in the cache at the end is counted too: 16 MiB in five seconds.
        let written = *rate.start()..=rate.end() + 4;
        assert_in(&name, written, sequential(&cached, &load(Wanted::Write, 4)));
    }
}

#[test]
fn a_write_without_a_cache_misses_its_revolution() {
    let off = Params {
        write_cache: Some(false),
        ..params(ModelName::Hdd7200)
    };
    let load = Load {
        wanted: Wanted::Write,
        ..READ_4K
    };
    let mut model = Model::new(&off);
    let mut offset = 0;
    let iops = drive(&mut model, &load, || {
        offset += 4096;
        offset
    });
    // 120 revolutions a second; the host is not back before the next byte has passed.
    assert_in("writes in a row, one at a time", 110..=120, iops);
}

#[test]
fn random_writes_into_the_cache_gain_what_its_size_allows() {
    let load = Load {
        wanted: Wanted::Write,
        depth: 1,
        ..READ_4K
    };
    let on = Params {
        write_cache: Some(true),
        ..params(ModelName::Hdd7200)
    };
    let (iops, counters) = random_iops(&on, &load);
    assert_in("cached random writes", 240..=500, iops);
    assert!(
        counters.cached_writes - counters.destaged_writes <= 130,
        "{counters:?}"
    );
    let off = Params {
        write_cache: Some(false),
        ..on
    };
    assert_in("random writes", 95..=140, random_iops(&off, &load).0);
}

#[test]
fn a_flush_waits_for_what_was_written_before_it() {
    let mut model = Model::new(&params(ModelName::Hdd7200));
    let mut answers = Vec::new();
    let request = |id, wanted, offset, bytes| Request {
        id,
        wanted,
        offset,
        bytes,
    };
    for id in 0..40 {
        model.submit(request(id, Wanted::Write, id * 400_000_000, 4096), id);
    }
    model.advance(2 * MS, &mut answers);
    assert_eq!(answers.len(), 40, "writes are answered at once");
    model.submit(request(99, Wanted::Flush, 0, 0), 2 * MS);
    model.submit(request(100, Wanted::Write, 0, 4096), 3 * MS);
    answers.clear();
    while let Some(now_ns) = model.next_ns() {
        model.advance(now_ns, &mut answers);
    }
    let flush = answers.iter().find(|answer| answer.id == 99).unwrap();
    assert_in("a flush of 40 writes, ms", 80..=400, flush.at_ns / MS);
    assert_eq!(model.counters().destaged_writes, 41);
    assert_eq!(model.counters().outstanding, 0);
}

#[test]
fn nobody_starves() {
    let mut model = Model::new(&params(ModelName::Hdd7200));
    // One far away, and a load that always has something near.
    let far = Request {
        id: 1000,
        wanted: Wanted::Read,
        offset: 19 * GIB,
        bytes: 4096,
    };
    let mut random = Random(3);
    let mut near = move || random.next() % 1000 * 4096;
    for id in 0..8 {
        let request = Request {
            id,
            offset: near(),
            ..far
        };
        model.submit(request, 0);
    }
    model.submit(far, 0);
    let mut answers = Vec::new();
    while let Some(now_ns) = model.next_ns() {
        model.advance(now_ns, &mut answers);
        assert!(now_ns < 3 * SECOND, "it waits for ever");
        if answers.iter().any(|answer| answer.id == far.id) {
            break;
        }
        for answer in answers.drain(..) {
            let offset = near();
            let request = Request {
                id: answer.id,
                offset,
                ..far
            };
            model.submit(request, answer.at_ns);
        }
    }
    assert_eq!(model.counters().impatient, 1);
}

#[test]
fn it_is_the_same_however_late_it_is_told_of_the_time() {
    let run = |step_ns: u64| {
        let mut model = Model::new(&params(ModelName::Hdd7200));
        let mut random = Random(11);
        let mut answers = Vec::new();
        for id in 0..200 {
            let wanted = [Wanted::Read, Wanted::Write][usize::from(id % 3 == 0)];
            let request = Request {
                id,
                wanted,
                offset: random.next() % (4 * GIB) / 4096 * 4096,
                bytes: 8192,
            };
            model.submit(request, id * 3 * MS);
        }
        let mut now_ns = 0;
        while model.next_ns().is_some() {
            now_ns += step_ns;
            model.advance(now_ns, &mut answers);
        }
        answers.sort_unstable();
        (answers, *model.counters())
    };
    assert_eq!(run(MS / 10), run(700 * MS));
}

#[test]
fn an_ssd_has_its_channels_its_rate_and_its_flush() {
    let ssd = params(ModelName::SsdSata);
    let short = Load {
        until_ns: SECOND,
        ..READ_4K
    };
    assert_in("SSD, 1 at once", 3000..=3400, random_iops(&ssd, &short).0);
    let deep = Load { depth: 32, ..short };
    assert_in(
        "SSD, 32 at once",
        15_000..=16_100,
        random_iops(&ssd, &deep).0,
    );
    let large = Load {
        bytes: 1 << 20,
        depth: 4,
        ..short
    };
    assert_in("SSD, MB/s", 390..=405, sequential(&ssd, &large));
    let mut model = Model::new(&ssd);
    let mut answers = Vec::new();
    for (id, wanted) in [Wanted::Write, Wanted::Flush].into_iter().enumerate() {
        let request = Request {
            id: id as u64,
            wanted,
            offset: 0,
            bytes: 0,
        };
        model.submit(request, 0);
    }
    model.advance(SECOND, &mut answers);
    let ends: Vec<u64> = answers.iter().map(|answer| answer.at_ns).collect();
    assert_eq!(ends, [MS / 2, MS / 2 + 3 * MS]);
}
