//! Whisper against Python's own: the same sequence of batches on both sides, the same clock, and
//! then the same file and the same answers to queries.
//! Compared are the header's bytes and, per archive, the set of (timestamp, value) with values bit
//! by bit; any NaN equals any NaN, because its payload is the processor's business. Where a coarse
//! archive begins depends in Python on the iteration order of a set, so places are not compared;
//! every third case runs Python with that set sorted, and then the whole file must be equal byte
//! by byte. Where two coarse intervals of one batch share a slot, that order even decides which one
//! stays: such a batch is given to Python with the set sorted in the other cases too.
//! Left out by construction: equal timestamps (Python keeps the first received, we the last; it is
//! fed the batch already reduced), and unbroken runs longer than an archive plus one, which Python
//! writes past the archive's end.
//! The cases are the same every run; WHISPER_SEED=n runs others, and a failure names its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use benzene_engine::point::Point;
use benzene_engine::ring::ByteRange;
use benzene_engine::whisper::{
    Aggregation, Archive, FetchAnswer, FetchRequest, HEAD_READ_BYTES, Header, Image,
    NEED_ROUNDS_MAX, Outcome, Plan, Retention, archive_points, fetch, plan,
};

const CASES: u64 = 2_400;

#[test]
fn sequences_of_updates_leave_python_s_file() {
    let first: u64 = std::env::var("WHISPER_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut python = Python::start();
    let mut met = Met::default();
    for seed in first..first + CASES {
        run_case(seed, &mut python, &mut met);
    }
    met.assert_everything_was_met();
}

#[test]
fn the_layouts_that_python_refuses_are_refused() {
    let mut python = Python::start();
    let mut draw = Draw(1);
    let mut accepted = 0;
    for _ in 0..1000 {
        let mut archives = draw.archives();
        for retention in &mut archives {
            match draw.below(8) {
                0 => retention.points = draw.small(1, 20),
                1 => retention.step_s = draw.small(1, 30),
                _ => {}
            }
        }
        let ours = Header::new(&archives, 0.5, Aggregation::Average);
        let theirs = python.ask(&format!("validate {}", pairs(&archives)));
        assert_eq!(
            ours.is_ok(),
            theirs == "ok",
            "{archives:?}: {ours:?}, Python: {theirs}"
        );
        accepted += u32::from(ours.is_ok());
    }
    assert!((200..800).contains(&accepted), "{accepted} of 1000");
}

fn pairs(archives: &[Retention]) -> String {
    let pair = |archive: &Retention| format!("{}:{}", archive.step_s, archive.points);
    archives.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// What the cases together must have met; otherwise they prove less than they say.
#[derive(Debug, Default)]
struct Met {
    methods: [u64; 8],
    propagated: u64,
    too_old: u64,
    superseded: u64,
    future: u64,
    spanning: u64,
    laps: u64,
    known_values: u64,
    odd_layouts: u64,
    no_answers: u64,
    /// Batches that Python got with its set sorted, because its order would have decided.
    sorted_by_need: u64,
}

impl Met {
    fn assert_everything_was_met(&self) {
        assert!(self.methods.iter().all(|cases| *cases > 100), "{self:?}");
        let counts = [
            self.propagated,
            self.too_old,
            self.superseded,
            self.future,
            self.spanning,
            self.laps,
            self.known_values,
            self.odd_layouts,
            self.no_answers,
        ];
        assert!(counts.iter().all(|count| *count > 200), "{self:?}");
        assert!(self.sorted_by_need < CASES, "{self:?}");
    }
}

fn run_case(seed: u64, python: &mut Python, met: &mut Met) {
    let mut draw = Draw(seed);
    let header = draw.header();
    let sorted = seed.is_multiple_of(3);
    let context = format!("WHISPER_SEED={seed} (the first case of that run)");
    let mut file = File::new(&header);
    python.create(&header);
    met.methods[header.aggregation as usize - 1] += 1;
    met.odd_layouts += u64::from(is_odd(&header));
    let mut now = draw.between(1_000_000_000, 2_000_000_000);
    let finest = header.archives[0];
    for _ in 0..draw.between(1, 6) {
        now += match draw.below(4) {
            0 => draw.below(2),
            1 => draw.below(u64::from(finest.step_s) * 4),
            2 => draw.below(finest.retention_s()),
            _ => draw.below(u64::from(header.max_retention_s)),
        };
        let batch = draw.batch(&header, now);
        let shared = share_a_slot(&header, &batch, now);
        met.sorted_by_need += u64::from(shared);
        met.note(&header, &batch, now);
        let clock = u32::try_from(now).unwrap();
        let outcome = file.update(&header, &batch, clock, draw.head_bytes(&header));
        met.propagated += outcome.propagated;
        met.too_old += outcome.too_old;
        met.superseded += outcome.superseded;
        python.update(clock, sorted || shared, &batch);
        let theirs = python.file();
        assert_same_file(
            &header,
            &file.bytes,
            &theirs,
            &format!("{context}\n{batch:?} at {now}"),
        );
        if sorted {
            assert_eq!(
                plain_nans(&file.bytes, &header),
                plain_nans(&theirs, &header),
                "{context}"
            );
        }
    }
    for _ in 0..4 {
        let request = draw.request(&header, now);
        let ours = file.fetch(&header, request);
        let theirs = python.fetch(request);
        assert_eq!(ours, theirs, "{context}\n{request:?}");
        met.no_answers += u64::from(ours == "none");
        met.known_values += ours
            .split(' ')
            .skip(3)
            .filter(|value| *value != "-")
            .count() as u64;
    }
}

impl Met {
    fn note(&mut self, header: &Header, batch: &[Point], now: u64) {
        let ages = || {
            batch
                .iter()
                .map(|point| i64::try_from(now).unwrap() - i64::from(point.timestamp))
        };
        let finest = i64::try_from(header.archives[0].retention_s()).unwrap();
        self.future += u64::from(ages().any(|age| age < 0));
        self.spanning +=
            u64::from(ages().any(|age| age > finest) && ages().any(|age| age <= finest));
        self.laps += u64::from(ages().any(|age| age == finest));
    }
}

type Points = BTreeMap<u32, Vec<u64>>;

/// The values of each timestamp, bit by bit. A timestamp can stand in two slots of an archive:
/// the base of an older lap is not written again when its turn has not come.
fn point_set(bytes: &[u8], header: &Header, number: usize) -> Points {
    let archive = &header.archives[number];
    let start = usize::try_from(archive.offset).unwrap();
    let mut points = Points::new();
    for point in archive_points(archive, &bytes[start..]) {
        points
            .entry(point.timestamp)
            .or_default()
            .push(bits(point.value));
    }
    for values in points.values_mut() {
        values.sort_unstable();
    }
    points
}

fn bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

fn assert_same_file(header: &Header, ours: &[u8], theirs: &[u8], context: &str) {
    assert_eq!(ours.len(), theirs.len(), "{context}");
    let head = header.header_bytes();
    assert_eq!(ours[..head], theirs[..head], "{context}");
    for number in 0..header.archives.len() {
        let ours = point_set(ours, header, number);
        let theirs = point_set(theirs, header, number);
        assert_eq!(ours, theirs, "archive {number} of {header:?}\n{context}");
    }
}

/// The archives' bytes with every NaN the same.
fn plain_nans(bytes: &[u8], header: &Header) -> Vec<u8> {
    let mut plain = bytes.to_vec();
    for value in plain[header.header_bytes()..]
        .chunks_exact_mut(12)
        .map(|point| &mut point[4..])
    {
        let read = f64::from_be_bytes(value.try_into().unwrap());
        value.copy_from_slice(&bits(read).to_be_bytes());
    }
    plain
}

/// Our side: plans carried out on a file in memory.
struct File {
    bytes: Vec<u8>,
}

impl File {
    fn new(header: &Header) -> Self {
        let mut bytes = header.encode();
        bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
        Self { bytes }
    }

    fn read(&self, image: &mut Image, range: ByteRange) {
        let start = usize::try_from(range.offset).unwrap();
        let end = (start + range.len as usize).min(self.bytes.len());
        image.add(range, self.bytes[start..end].to_vec());
    }

    fn update(&mut self, header: &Header, batch: &[Point], now: u32, head: u32) -> Outcome {
        let mut image = Image::new();
        self.read(
            &mut image,
            ByteRange {
                offset: 0,
                len: head,
            },
        );
        assert_eq!(Header::parse(&self.bytes).as_ref(), Ok(header));
        for round in 0.. {
            match plan(header, batch, now, &image).unwrap() {
                Plan::Need(ranges) => {
                    assert!(round < NEED_ROUNDS_MAX, "{ranges:?}");
                    for range in ranges {
                        self.read(&mut image, range);
                    }
                }
                Plan::Write { pieces, outcome } => {
                    for piece in pieces {
                        let start = usize::try_from(piece.offset).unwrap();
                        self.bytes[start..][..piece.bytes.len()].copy_from_slice(&piece.bytes);
                    }
                    return outcome;
                }
            }
        }
        unreachable!("the rounds are counted")
    }

    /// The answer in the oracle's words.
    fn fetch(&self, header: &Header, request: FetchRequest) -> String {
        let Some(fetch) = fetch(header, request).unwrap() else {
            return "none".to_owned();
        };
        let mut image = Image::new();
        for _ in 0..3 {
            match fetch.answer(&image).unwrap() {
                FetchAnswer::Need(ranges) => {
                    for range in ranges {
                        self.read(&mut image, range);
                    }
                }
                FetchAnswer::Series(series) => {
                    let mut words =
                        format!("{} {} {}", series.from_s, series.until_s, series.step_s);
                    for value in series.values {
                        match value {
                            Some(value) => write!(words, " {:016x}", bits(value)).unwrap(),
                            None => words.push_str(" -"),
                        }
                    }
                    return words;
                }
            }
        }
        panic!("more than two rounds for {request:?}")
    }
}

/// Their side: one Python process with whisper 1.1.10, and a file of its own.
struct Python {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
}

impl Python {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(benzene_fixtures::python().unwrap())
            .arg(benzene_fixtures::path("python/whisper_oracle.py"))
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            _directory: directory,
        }
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let answer = answer.trim_end();
        assert!(
            !answer.is_empty() && !answer.starts_with("error"),
            "{command}: {answer}"
        );
        answer.to_owned()
    }

    fn create(&mut self, header: &Header) {
        let archives: Vec<Retention> = header
            .archives
            .iter()
            .map(|&Archive { step_s, points, .. }| Retention { step_s, points })
            .collect();
        let factor = f64::from(header.x_files_factor).to_bits();
        let method = header.aggregation.name();
        self.ask(&format!(
            "create {factor:016x} {method} {}",
            pairs(&archives)
        ));
    }

    /// Feeds the batch in the order received, of equal timestamps only the last.
    fn update(&mut self, now: u32, sorted: bool, batch: &[Point]) {
        let order = if sorted { "sorted" } else { "set" };
        let mut command = format!("update {now} {order}");
        for (at, point) in batch.iter().enumerate() {
            if batch[at + 1..]
                .iter()
                .all(|later| later.timestamp != point.timestamp)
            {
                write!(
                    command,
                    " {}:{:016x}",
                    point.timestamp,
                    point.value.to_bits()
                )
                .unwrap();
            }
        }
        self.ask(&command);
    }

    fn file(&mut self) -> Vec<u8> {
        let answer = self.ask("file");
        let digits = answer.as_bytes().chunks_exact(2);
        digits
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn fetch(&mut self, request: FetchRequest) -> String {
        let FetchRequest {
            from_s,
            until_s,
            now_s,
            step_s,
        } = request;
        let step = step_s.unwrap_or(0);
        let answer = self.ask(&format!("fetch {now_s} {from_s} {until_s} {step}"));
        let plain = |word: &str| match u64::from_str_radix(word, 16) {
            Ok(value) if word.len() == 16 => format!("{:016x}", bits(f64::from_bits(value))),
            _ => word.to_owned(),
        };
        answer.split(' ').map(plain).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Whether `Header::new` would not have made this layout.
fn is_odd(header: &Header) -> bool {
    let retention = |archive: &Archive| Retention {
        step_s: archive.step_s,
        points: archive.points,
    };
    let archives: Vec<Retention> = header.archives.iter().map(retention).collect();
    Header::new(&archives, header.x_files_factor, header.aggregation).is_err()
}

/// Draws a case from its seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn small(&mut self, least: u32, most: u32) -> u32 {
        u32::try_from(self.between(u64::from(least), u64::from(most))).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    fn header(&mut self) -> Header {
        // Tenths are where comparing in 32 or 64 bits makes a difference.
        let tenth = f32::from(u8::try_from(self.below(11)).unwrap()) / 10.0;
        let any = f32::from(u16::try_from(self.below(1000)).unwrap()) / 999.0;
        let factor = self.one_of(&[tenth, 0.5, 0.0, any]);
        let method = self.one_of(&Aggregation::ALL);
        let archives = self.archives();
        let Ok(mut header) = Header::new(&archives, factor, method) else {
            unreachable!("{archives:?}")
        };
        if self.below(4) == 0 {
            self.distort(&mut header);
        }
        header
    }

    /// A layout that `validateArchiveList` refuses, but that stands in old files and that Python
    /// updates: steps that do not divide each other, archives with too few points.
    fn distort(&mut self, header: &mut Header) {
        let mut offset = header.header_bytes() as u64;
        let mut before = 0;
        for archive in &mut header.archives {
            archive.step_s = before + self.small(1, 13);
            archive.points = self.small(1, 15);
            archive.offset = offset;
            offset += archive.bytes();
            before = archive.step_s;
        }
        let longest = header
            .archives
            .iter()
            .map(Archive::retention_s)
            .max()
            .unwrap();
        header.max_retention_s = u32::try_from(longest).unwrap();
    }

    fn archives(&mut self) -> Vec<Retention> {
        let mut archives = Vec::new();
        let mut step_s = self.one_of(&[1, 2, 5, 10, 60]);
        let mut points = self.small(1, 12);
        for _ in 0..self.below(4) {
            let ratio = self.one_of(&[2, 3, 5, 6, 10]);
            points = points.max(ratio) + self.small(0, 3);
            archives.push(Retention { step_s, points });
            step_s *= ratio;
            points = points / ratio + self.small(1, 12);
        }
        archives.push(Retention { step_s, points });
        archives
    }

    fn head_bytes(&mut self, header: &Header) -> u32 {
        let header = u32::try_from(header.header_bytes()).unwrap();
        self.one_of(&[HEAD_READ_BYTES, header, header + 12])
    }

    fn value(&mut self) -> f64 {
        let whole = f64::from(self.small(0, 20)) - 10.0;
        let fraction = f64::from(self.small(0, u32::MAX)) / 1e7 - 200.0;
        let special = self.one_of(&[0.0, -0.0, 1e300, -1e300, 5e-324, f64::NAN, f64::INFINITY]);
        let rare = if self.below(8) == 0 {
            special
        } else {
            fraction
        };
        self.one_of(&[whole, whole, fraction, rare])
    }

    /// A batch as it is received: any order, seconds sent again, gaps, every archive's edge.
    fn batch(&mut self, header: &Header, now: u64) -> Vec<Point> {
        let mut times = Vec::new();
        for _ in 0..self.between(1, 4) {
            self.times(header, now, &mut times);
        }
        if self.below(2) == 0 {
            times.sort_unstable();
        } else {
            for last in (1..times.len()).rev() {
                let other = usize::try_from(self.below(last as u64 + 1)).unwrap();
                times.swap(last, other);
            }
        }
        if runs_past_the_end(header, &times, now) {
            times.retain(|time| *time <= now);
        }
        let timestamps = times.into_iter().map(|time| u32::try_from(time).unwrap());
        timestamps
            .map(|timestamp| Point {
                timestamp,
                value: self.value(),
            })
            .collect()
    }

    fn times(&mut self, header: &Header, now: u64, times: &mut Vec<u64>) {
        let archive = self.one_of(&header.archives);
        let step = u64::from(archive.step_s);
        let longest = u64::from(header.max_retention_s);
        match self.below(13) {
            0..4 => {
                let first = now - self.below(archive.retention_s());
                times.extend(
                    (0..self.between(1, 20))
                        .map(|n| first + n * step)
                        .filter(|time| *time <= now),
                );
            }
            4..6 => times.extend((0..self.between(1, 6)).map(|n| now - n * step)),
            6..8 => {
                for _ in 0..self.between(1, 12) {
                    times.push(now - self.below(longest + longest / 8 + 2));
                }
            }
            8 => times.push(now - archive.retention_s() + 1 - self.below(3)),
            9..11 => {
                let again = times.last().copied().unwrap_or(now);
                times.extend([again, again]);
            }
            11 => times.push(now + self.below(header.archives[0].retention_s())),
            _ => times.push(now + self.below(longest * 3)),
        }
    }

    fn request(&mut self, header: &Header, now: u64) -> FetchRequest {
        let now_s = i64::try_from(now).unwrap();
        let longest = u64::from(header.max_retention_s);
        let mut around =
            || now_s + 20 - i64::try_from(self.below(longest + longest / 4 + 40)).unwrap();
        let (one, other) = (around(), around());
        let chosen = self.one_of(&header.archives).step_s;
        FetchRequest {
            from_s: one.min(other),
            until_s: self.one_of(&[one.max(other), one.min(other), now_s.max(one)]),
            now_s,
            step_s: self.one_of(&[None, None, Some(chosen), Some(0)]),
        }
    }
}

/// Whether a batch holds an unbroken run that is longer than the first archive and one more: only
/// points of the future make one, and Python then writes past the archive's end.
fn runs_past_the_end(header: &Header, times: &[u64], now: u64) -> bool {
    let finest = header.archives[0];
    let step = u64::from(finest.step_s);
    let mut intervals: Vec<u64> = times
        .iter()
        .filter(|time| now.saturating_sub(**time) <= finest.retention_s())
        .map(|time| time - time % step)
        .collect();
    intervals.sort_unstable();
    intervals.dedup();
    let mut run = 1;
    intervals.windows(2).any(|pair| {
        run = if pair[1] == pair[0] + step {
            run + 1
        } else {
            1
        };
        run > u64::from(finest.points) + 1
    })
}

/// Whether two intervals of a coarser archive that one batch touches have the same slot.
fn share_a_slot(header: &Header, batch: &[Point], now: u64) -> bool {
    let reaching = |point: &Point| {
        let age = now.saturating_sub(u64::from(point.timestamp));
        header
            .archives
            .iter()
            .position(|archive| archive.retention_s() >= age)
    };
    (0..header.archives.len()).any(|from| {
        let raw = header.archives[from];
        let taken: Vec<u32> = batch
            .iter()
            .filter(|point| reaching(point) == Some(from))
            .map(|point| point.timestamp - point.timestamp % raw.step_s)
            .collect();
        header.archives[from + 1..].iter().any(|coarse| {
            let mut intervals: Vec<u32> = taken.iter().map(|time| time / coarse.step_s).collect();
            intervals.sort_unstable();
            intervals.dedup();
            let all = intervals.len();
            let mut slots: Vec<u32> = intervals.iter().map(|nth| nth % coarse.points).collect();
            slots.sort_unstable();
            slots.dedup();
            slots.len() < all
        })
    })
}
