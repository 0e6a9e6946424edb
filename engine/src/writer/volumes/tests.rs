//! Several data directories by injection: who is asked for a file and in which order, where a new one
//! goes, and that one directory's trouble is its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::cache::{Cache, CacheConfig, Standing, Strategy};
use crate::clock;
use crate::limiter::{Budget, Room};
use crate::point::Point;
use crate::ring::{FileError, FileOutcome, Stage};
use crate::schemas::Schemas;
use crate::stats::Counter;

const SCHEMAS: &str = "[b]\npattern = ^b\\.\nretentions = 1s:1h\nvolume = b\n\
                       [a]\npattern = ^a\\.\nretentions = 1s:1h\nvolume = a\n\
                       [all]\npattern = .*\nretentions = 1s:1h\n";

/// What a directory answers when it is asked for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Has,
    HasNot,
    Fails,
    /// Nothing, for now.
    Hangs,
}

struct Rig {
    ledger: Ledger,
    writer: Writer,
    budgets: Vec<Budgets>,
    away: Arc<Away>,
    now: Now,
    /// By directory and metric; what is not here is not there.
    answers: BTreeMap<(String, String), Answer>,
    /// Looks, creates and opens in the order in which they were asked for: `look /a/x`.
    asked: Vec<String>,
}

impl Rig {
    /// Directories /a, /b and /c with these updates a second.
    fn new(updates: [Option<f64>; 3]) -> Self {
        let now = clock::now();
        let budget = |rate| Arc::new(Budget::new(rate, 0.1, now.instant));
        let budgets: Vec<Budgets> = updates
            .into_iter()
            .map(|updates| Budgets {
                updates: budget(updates),
                creates: budget(None),
            })
            .collect();
        let mut cache = Cache::new(CacheConfig {
            max_point_age_s: 60,
            waiting_bytes_max: 3 << 20,
            waiting_points_max: 30,
            ..CacheConfig::new(Strategy::Sorted, now.instant)
        });
        cache.add_volume(60, false);
        cache.add_volume(60, false);
        let mut schemas = Schemas::parse(SCHEMAS).unwrap().0;
        let number = |text: &str| ["a", "b", "c"].iter().position(|name| *name == text);
        assert_eq!(schemas.resolve_volumes(number, "are a, b, c"), []);
        let config = WriterConfig {
            updates_in_flight_max: 4,
            schemas: Arc::new(schemas),
            ..WriterConfig::new("/a")
        };
        let further = |data_dir: &str, budgets: &Budgets| FurtherVolume {
            data_dir: PathBuf::from(data_dir),
            budgets: budgets.clone(),
            sync_creates: false,
            updates_in_flight_max: 4,
            access: Access::default(),
            max_point_age_s: 60,
            in_disk_order: false,
        };
        let away = Arc::new(Away::default());
        let further = Further {
            volumes: vec![further("/b", &budgets[1]), further("/c", &budgets[2])],
            salts: ["a", "b", "c"].map(salt).to_vec(),
            away: Arc::clone(&away),
        };
        Self {
            ledger: Ledger::new(cache, Arc::new(Room::new(None, 1 << 30)), None),
            writer: Writer::new(config, further),
            budgets,
            away,
            now,
            answers: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    fn send(&mut self, name: &str) -> SeriesId {
        let point = Point {
            timestamp: self.now.unix_seconds,
            value: 1.0,
        };
        assert!(self.ledger.reserve());
        let inserted = self.ledger.insert(name, point, Counter::Received);
        inserted.series()
    }

    fn set(&mut self, directory: &str, name: &str, answer: Answer) {
        let key = (directory.to_owned(), name.to_owned());
        self.answers.insert(key, answer);
    }

    /// Turns, each answering what the one before asked for, until nothing is asked. Files that are
    /// opened stay open.
    fn turn(&mut self) {
        for turns in 0.. {
            assert!(turns < 1000, "it never ends");
            self.writer.start(&mut self.ledger, &self.budgets, self.now);
            let asked: Vec<_> = std::iter::from_fn(|| self.writer.next_operation()).collect();
            if asked.is_empty() && self.ledger.unplaced().is_none() {
                return;
            }
            for (token, operation) in asked.into_iter().rev() {
                let (verb, path) = match &operation {
                    FileOperation::Probe { path } => ("look", path),
                    FileOperation::Create { path, .. } => ("make", path),
                    FileOperation::Open { path, .. } => ("open", path),
                    other @ (FileOperation::Locate { .. }
                    | FileOperation::Read { .. }
                    | FileOperation::Write { .. }
                    | FileOperation::Close { .. }
                    | FileOperation::Reserve { .. }
                    | FileOperation::Append { .. }
                    | FileOperation::Sync { .. }
                    | FileOperation::Remove { .. }
                    | FileOperation::Look { .. }
                    | FileOperation::SetAside { .. }
                    | FileOperation::Adopt { .. }) => {
                        panic!("{other:?} was not to be expected")
                    }
                };
                self.asked.push(format!("{verb} {}", said(path)));
                let (directory, name) = place(path);
                let answer = self.answers.get(&(directory, name)).copied();
                let result = match (verb, answer.unwrap_or(Answer::HasNot)) {
                    ("open", _) | (_, Answer::Hangs) => continue,
                    (_, Answer::Fails) => Err(FileError {
                        stage: Stage::Probe,
                        errno: 5,
                    }),
                    ("make", _) => Ok(FileOutcome::Created),
                    (_, answer) => Ok(FileOutcome::Probed(answer == Answer::Has)),
                };
                self.writer
                    .complete(&mut self.ledger, token, result, self.now);
            }
        }
    }

    /// Turns, each when one is due, for so many seconds.
    fn run(&mut self, seconds: u64) {
        let end = self.now.instant + Duration::from_secs(seconds);
        loop {
            self.turn();
            let next = self
                .writer
                .next_deadline(&self.ledger, &self.budgets, self.now);
            match next.filter(|at| *at <= end) {
                Some(at) => self.now.instant = at.max(self.now.instant),
                None => break,
            }
        }
        self.now.instant = end;
    }

    /// Points that wait, by directory.
    fn stuck(&self) -> [u64; 3] {
        [0, 1, 2].map(|number| self.ledger.stuck_points(Volume::new(number)))
    }

    /// What was asked since this was called last.
    fn asked(&mut self) -> Vec<String> {
        std::mem::take(&mut self.asked)
    }
}

fn place(path: &Path) -> (String, String) {
    let mut parts = path.to_str().unwrap().trim_end_matches(".wsp").split('/');
    let directory = format!("/{}", parts.nth(1).unwrap());
    (directory, parts.collect::<Vec<_>>().join("."))
}

fn said(path: &Path) -> String {
    let (directory, name) = place(path);
    format!("{directory} {name}")
}

#[test]
fn a_file_is_looked_for_where_it_would_be_made_and_then_in_the_order_of_the_list() {
    let mut rig = Rig::new([None; 3]);
    rig.set("/b", "b.there", Answer::Has);
    // Two files elsewhere: the first of the list wins.
    rig.set("/a", "b.moved", Answer::Has);
    rig.set("/c", "b.moved", Answer::Has);
    rig.send("b.there");
    rig.turn();
    assert_eq!(rig.asked(), ["look /b b.there", "open /b b.there"]);
    rig.send("b.moved");
    rig.turn();
    assert_eq!(
        rig.asked(),
        ["look /b b.moved", "look /a b.moved", "open /a b.moved"]
    );
    rig.send("b.new");
    rig.turn();
    assert_eq!(
        rig.asked(),
        [
            "look /b b.new",
            "look /a b.new",
            "look /c b.new",
            "look /b b.new",
            "make /b b.new",
        ]
    );
    let counts: Vec<u64> = rig.writer.volume_counts().map(|it| it.creates).collect();
    assert_eq!(counts, [0, 1, 0]);
}

#[test]
fn nothing_is_made_while_a_directory_that_may_have_the_file_cannot_be_asked() {
    let mut rig = Rig::new([None; 3]);
    rig.set("/c", "b.x", Answer::Fails);
    rig.set("/c", "b.y", Answer::Fails);
    rig.set("/a", "b.y", Answer::Has);
    rig.send("b.x");
    rig.send("b.y");
    rig.turn();
    let asked = rig.asked();
    assert!(asked.contains(&"open /a b.y".to_owned()), "{asked:?}");
    assert!(asked.iter().all(|it| !it.starts_with("make")), "{asked:?}");
    assert_eq!(rig.stuck(), [0, 0, 1], "of the directory that fails");
    // It is asked again, the directory that failed first; now it knows.
    rig.set("/c", "b.x", Answer::Has);
    rig.now.instant += Duration::from_secs(2);
    rig.turn();
    assert_eq!(rig.asked(), ["look /c b.x", "open /c b.x"]);
    assert_eq!(rig.stuck(), [0, 0, 0]);
}

#[test]
fn in_a_directory_that_is_away_nothing_is_done_until_it_is_back() {
    let mut rig = Rig::new([None; 3]);
    rig.set("/a", "a.there", Answer::Has);
    rig.set("/b", "b.there", Answer::Has);
    rig.away.set(Volume::new(1), Presence::Away);
    for name in ["a.there", "b.there", "b.new", "a.new"] {
        rig.send(name);
    }
    rig.turn();
    let asked = rig.asked();
    assert!(asked.contains(&"open /a a.there".to_owned()), "{asked:?}");
    let is_wrong = |it: &String| it.contains("/b") || it.starts_with("make");
    assert!(!asked.iter().any(is_wrong), "{asked:?}");
    assert_eq!(rig.ledger.usage().parked_points, 3);
    assert!(rig.ledger.stats().get(Counter::ErrorsAway) >= 3);
    rig.away.set(Volume::new(1), Presence::There);
    rig.now.instant += Duration::from_secs(2);
    rig.turn();
    let asked = rig.asked();
    for wanted in ["open /b b.there", "make /b b.new", "make /a a.new"] {
        assert!(asked.contains(&wanted.to_owned()), "{wanted}: {asked:?}");
    }
    assert_eq!(rig.ledger.usage().parked_points, 0);
}

#[test]
fn a_file_that_was_seen_is_one_also_where_the_retry_cannot_look_for_it() {
    let mut rig = Rig::new([None, Some(0.0), None]);
    rig.set("/b", "b.there", Answer::Has);
    let (there, new) = (rig.send("b.there"), rig.send("b.new"));
    rig.set("/b", "b.new", Answer::Fails);
    rig.turn();
    assert_eq!(rig.ledger.standing(there), Standing::Writable);
    rig.away.set(Volume::new(1), Presence::Away);
    rig.budgets[1].updates.set_rate(None, rig.now.instant);
    // Each time between two retries.
    for seconds in [2, 3, 5] {
        rig.run(seconds);
        assert_eq!(rig.ledger.standing(there), Standing::Parked);
        assert_eq!(rig.ledger.standing(new), Standing::Unmade);
    }
    // It is gone, and is looked for in vain.
    rig.away.set(Volume::new(1), Presence::There);
    rig.set("/b", "b.there", Answer::HasNot);
    rig.set("/a", "b.there", Answer::Fails);
    rig.run(60);
    assert_eq!(rig.ledger.standing(there), Standing::Unmade);
}

#[test]
fn nobody_who_belongs_elsewhere_waits_for_a_directory_that_is_away_for_long() {
    let mut rig = Rig::new([None; 3]);
    rig.away.set(Volume::new(1), Presence::Away);
    rig.set("/c", "a.moved", Answer::Has);
    for name in ["a.early", "b.early"] {
        rig.send(name);
    }
    rig.run(50);
    assert_eq!(
        rig.stuck(),
        [0, 2, 0],
        "of the directory that is waited for"
    );
    let asked = rig.asked();
    assert!(asked.iter().all(|it| !it.starts_with("make")), "{asked:?}");
    rig.away.set(Volume::new(1), Presence::LongAway);
    for name in ["a.late", "b.late", "a.moved"] {
        rig.send(name);
    }
    rig.turn();
    let asked = rig.asked();
    assert!(asked.contains(&"make /a a.late".to_owned()), "{asked:?}");
    assert!(asked.contains(&"open /c a.moved".to_owned()), "{asked:?}");
    // Who waits already is tried once a minute.
    rig.run(60);
    let made = |asked: &[String]| -> Vec<String> {
        let made = asked.iter().filter(|it| it.starts_with("make"));
        made.cloned().collect()
    };
    assert_eq!(made(&rig.asked()), ["make /a a.early"]);
    assert_eq!(rig.stuck(), [0, 2, 0], "they belong there");
    // It is back, with a file of one that it has in common with the first by now.
    rig.set("/b", "a.early", Answer::Has);
    rig.set("/b", "b.early", Answer::Has);
    rig.set("/b", "a.new", Answer::Has);
    rig.away.set(Volume::new(1), Presence::There);
    rig.send("a.early");
    rig.send("a.new");
    rig.run(60);
    let asked = rig.asked();
    for wanted in ["open /a a.early", "open /b b.early", "open /b a.new"] {
        assert!(asked.contains(&wanted.to_owned()), "{wanted}: {asked:?}");
    }
    assert_eq!(made(&asked), ["make /b b.late"]);
    assert_eq!(rig.stuck(), [0, 0, 0]);
}

#[test]
fn a_directory_that_answers_with_errors_is_waited_for_as_long_by_each_metric() {
    let mut rig = Rig::new([None; 3]);
    let made = |rig: &mut Rig, name: &str| -> bool {
        let made = format!("make /a {name}");
        rig.asked().contains(&made)
    };
    for name in ["a.first", "a.second"] {
        rig.set("/c", name, Answer::Fails);
    }
    rig.send("a.first");
    rig.run(40);
    rig.send("a.second");
    rig.run(19);
    assert!(!made(&mut rig, "a.first"), "a moment before");
    assert_eq!(rig.stuck(), [0, 0, 2]);
    // Tried at 1, 3, 7, 15, 31 and 63 seconds.
    rig.run(5);
    assert!(made(&mut rig, "a.first"));
    assert_eq!(rig.stuck(), [0, 0, 1]);
    rig.run(30);
    assert!(!made(&mut rig, "a.second"), "it came later");
    rig.run(10);
    assert!(made(&mut rig, "a.second"));

    // Another directory that cannot be asked has a time of its own.
    rig.set("/b", "a.both", Answer::Fails);
    rig.send("a.both");
    rig.run(40);
    rig.set("/b", "a.both", Answer::HasNot);
    rig.set("/c", "a.both", Answer::Fails);
    rig.run(40);
    assert!(!made(&mut rig, "a.both"));
    assert_eq!(rig.stuck(), [0, 0, 1]);
    rig.run(60);
    assert!(made(&mut rig, "a.both"));

    // Of two, the one that is away for long is not waited for.
    rig.away.set(Volume::new(1), Presence::LongAway);
    rig.set("/c", "a.other", Answer::Fails);
    rig.send("a.other");
    rig.run(50);
    assert_eq!(rig.stuck(), [0, 0, 1]);
    rig.run(50);
    assert!(made(&mut rig, "a.other"));
    assert_eq!(rig.stuck(), [0, 0, 0]);
}

#[test]
fn for_its_own_place_and_for_its_file_a_metric_waits_as_long_as_it_takes() {
    let mut rig = Rig::new([None, Some(0.0), None]);
    rig.set("/a", "a.own", Answer::Fails);
    // Its file is where it would not be made, and nothing may be written there yet.
    rig.set("/b", "a.known", Answer::Has);
    rig.send("a.own");
    rig.send("a.known");
    rig.turn();
    rig.away.set(Volume::new(1), Presence::LongAway);
    rig.budgets[1].updates.set_rate(None, rig.now.instant);
    rig.run(3600);
    let asked = rig.asked();
    assert!(asked.iter().all(|it| it.starts_with("look")), "{asked:?}");
    assert_eq!(rig.stuck(), [1, 1, 0]);
    rig.away.set(Volume::new(1), Presence::There);
    rig.set("/a", "a.own", Answer::HasNot);
    rig.run(60);
    let asked = rig.asked();
    for wanted in ["make /a a.own", "open /b a.known"] {
        assert!(asked.contains(&wanted.to_owned()), "{wanted}: {asked:?}");
    }
    // What it waited for is forgotten with the find.
    assert!(rig.writer.lanes.searches.is_empty() && rig.writer.lanes.homes.is_empty());
}

#[test]
fn a_directory_that_hangs_or_has_no_budget_holds_up_no_other() {
    let mut rig = Rig::new([None, Some(0.0), None]);
    for number in 0..100 {
        // Of one the looks never end, of the other no update may begin.
        rig.set("/c", &format!("b.old{number}"), Answer::Hangs);
        rig.set("/b", &format!("b.held{number}"), Answer::Has);
        rig.send(&format!("b.old{number}"));
        rig.send(&format!("b.held{number}"));
    }
    rig.turn();
    let asked = rig.asked();
    let hung = asked.iter().filter(|it| it.starts_with("look /c")).count();
    assert_eq!(hung, VOLUME_PROBES, "in flight in one directory");
    assert!(asked.iter().all(|it| !it.starts_with("open")), "{asked:?}");
    for number in 0..100 {
        rig.set("/a", &format!("a.x{number}"), Answer::Has);
        rig.send(&format!("a.x{number}"));
    }
    rig.turn();
    let asked = rig.asked();
    let open = asked.iter().filter(|it| it.starts_with("open /a")).count();
    assert_eq!(open, 4, "as many as may be in flight: {asked:?}");
    let looked = asked
        .iter()
        .filter(|it| it.starts_with("look /a a."))
        .count();
    assert_eq!(looked, 100, "{asked:?}");
}

#[test]
fn what_one_directory_cannot_write_takes_its_own_share_alone() {
    let mut rig = Rig::new([None; 3]);
    // Ten points is the share of each; a quarter is for files that were seen, and of the rest a third for
    // those that will be made.
    for number in 0..25 {
        rig.set("/b", &format!("b.x{number}"), Answer::Fails);
        rig.send(&format!("b.x{number}"));
    }
    rig.turn();
    rig.asked();
    assert_eq!(rig.ledger.stuck_points(Volume::new(1)), 6);
    assert_eq!(rig.ledger.stats().get(Counter::DroppedParked), 19);
    rig.set("/a", "a.x", Answer::Fails);
    rig.send("a.x");
    rig.turn();
    assert_eq!(rig.ledger.stuck_points(Volume::new(0)), 1);
    assert_eq!(rig.ledger.stats().get(Counter::DroppedParked), 19);
}

#[test]
fn a_hash_spreads_new_files_and_a_further_directory_takes_its_share_of_each() {
    let salts: Vec<u64> = ["ssd", "hdd", "/srv/c", "new"].map(salt).to_vec();
    let choose = |count: usize, path: &str| -> usize {
        let name = fnv(path.as_bytes());
        let weights = salts[..count].iter().map(|salt| mixed(name ^ salt));
        weights.enumerate().max_by_key(|(_, it)| *it).unwrap().0
    };
    // What lies on disks already must be found again by every version.
    let paths = [
        "a/b.wsp",
        "a/c.wsp",
        "carbon/agents/x.wsp",
        "_tagged/0/1/x.wsp",
    ];
    assert_eq!(paths.map(|path| choose(3, path)), [2, 1, 2, 0]);
    let (mut counts, mut moved) = ([0; 4], 0);
    for number in 0..4000 {
        let path = format!("servers/s{number}/cpu.wsp");
        let (before, after) = (choose(3, &path), choose(4, &path));
        counts[after] += 1;
        assert!(after == before || after == 3, "{path} goes elsewhere");
        moved += usize::from(after == 3);
    }
    assert!(
        counts.iter().all(|it| (880..=1120).contains(it)),
        "{counts:?}"
    );
    assert_eq!(moved, counts[3]);
}
