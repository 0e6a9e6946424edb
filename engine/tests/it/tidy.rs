//! What the house style asks of the workspace's files: one pass over the tree, under a second.
//! It reads only. What git ignores is skipped by name, so it works outside a git checkout too.
//! Each rule has a fixture text and the message that it must give, beside the pass itself: a rule
//! that sees nothing would otherwise look like a tree that is in order.
//! Words that no file may hold are put together from pieces here, so that this file may hold them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use benzene_engine::stats::Counter;

/// Longest Rust file. Above 500 the file says why.
const LINES_MAX: usize = 800;
/// Larger files are recordings, not text that someone wrote; their words are not looked at.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Directories that git ignores.
const SKIPPED_DIRS: &[&str] = &["target", ".git", "__pycache__", ".venv", "benzene-data"];
/// Names that say nothing about what is inside.
const BANNED_NAMES: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "impls", "manager", "types",
];
/// The only places of the keyword that the compiler does not check: the room of system calls, and
/// a test's allocator that counts, which cannot be written otherwise.
const UNSAFE_PLACES: &[&str] = &[
    "engine/src/ring/",
    "engine/src/near.rs",
    "engine/tests/it/cache_bytes.rs",
];
/// Where every counter is explained.
const METRICS_PAGE: &str = "docs/operating/metrics.md";
/// Where every direct dependency has its reason.
const DEPENDENCIES_PAGE: &str = "docs/decisions/0002-dependencies.md";

/// A file of the workspace.
struct SourceFile {
    /// Below the workspace's root, with slashes.
    path: String,
    /// None where it is not UTF-8 or too large.
    text: Option<String>,
}

impl SourceFile {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        }
    }

    fn extension(&self) -> &str {
        Path::new(&self.path)
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or("")
    }

    /// Numbered lines, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .iter()
            .flat_map(|text| text.lines())
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// Code that people write, as opposed to prose and recordings.
    fn is_code(&self) -> bool {
        matches!(self.extension(), "rs" | "toml" | "py" | "sh" | "yml") || self.in_dir(".ci/")
    }

    fn in_dir(&self, dir: &str) -> bool {
        self.path.starts_with(dir)
    }

    fn say(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// A rule about one file.
type Rule = fn(&SourceFile) -> Vec<String>;

const RULES: &[Rule] = &[
    opens_with_a_doc,
    is_not_too_long,
    has_a_name_that_says_something,
    has_no_left_behind_marks,
    has_no_check_that_checks_nothing,
    is_ascii,
    is_safe_outside_the_ring,
    names_no_workplace,
];

fn opens_with_a_doc(file: &SourceFile) -> Vec<String> {
    let opens = file
        .lines()
        .next()
        .is_some_and(|(_, line)| line.starts_with("//!"));
    if !file.is_rust() || opens {
        return Vec::new();
    }
    vec![file.say(
        1,
        "a file opens with `//!`: what it is, what it never does, what happens on failure",
    )]
}

fn is_not_too_long(file: &SourceFile) -> Vec<String> {
    let lines = file.lines().count();
    if !file.is_rust() || lines <= LINES_MAX {
        return Vec::new();
    }
    vec![file.say(lines, &format!("{lines} lines, at most {LINES_MAX}"))]
}

fn has_a_name_that_says_something(file: &SourceFile) -> Vec<String> {
    let banned = Path::new(&file.path).components().find_map(|component| {
        let stem = Path::new(&component).file_stem()?.to_str()?.to_owned();
        BANNED_NAMES.contains(&stem.as_str()).then_some(stem)
    });
    match banned {
        Some(stem) if file.is_code() => {
            vec![file.say(
                1,
                &format!("the name `{stem}` says nothing about what is inside"),
            )]
        }
        _ => Vec::new(),
    }
}

fn has_no_left_behind_marks(file: &SourceFile) -> Vec<String> {
    let (fix, later) = (["FIX", "ME"].concat(), ["TO", "DO"].concat());
    if !file.is_code() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        if has_word(line, &fix) {
            found.push(file.say(number, &format!("{fix} is done before it is committed")));
        }
        let numbered = line
            .split('#')
            .skip(1)
            .any(|behind| behind.starts_with(|first: char| first.is_ascii_digit()));
        if has_word(line, &later) && !numbered {
            found.push(file.say(number, &format!("a {later} names its issue: #123")));
        }
    }
    found
}

/// A bare `matches!(..);` compiles, is never reported, and asserts nothing. As the value of a
/// function it stands without a semicolon.
fn has_no_check_that_checks_nothing(file: &SourceFile) -> Vec<String> {
    let opening = ["matches", "!("].concat();
    let text = file.text.as_deref().filter(|_| file.is_rust());
    let (mut found, mut offset) = (Vec::new(), 0);
    for (number, line) in file.lines() {
        let whole = text.unwrap_or("");
        if line.trim_start().starts_with(&opening) && is_statement(&whole[offset..]) {
            found.push(file.say(number, "this checks nothing: assert it, or name its value"));
        }
        offset = (offset + line.len() + 1).min(whole.len());
    }
    found
}

/// Whether a semicolon follows the first pair of parentheses.
fn is_statement(text: &str) -> bool {
    let mut depth = 0_i32;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return text[place + 1..].starts_with(';');
        }
    }
    false
}

fn is_ascii(file: &SourceFile) -> Vec<String> {
    if !file.is_rust() && file.extension() != "toml" {
        return Vec::new();
    }
    file.lines()
        .filter(|(_, line)| !line.is_ascii())
        .map(|(number, _)| file.say(number, "not ASCII: write it as \\u{..}"))
        .collect()
}

fn is_safe_outside_the_ring(file: &SourceFile) -> Vec<String> {
    let keyword = ["uns", "afe"].concat();
    if !file.is_rust() || UNSAFE_PLACES.iter().any(|place| file.in_dir(place)) {
        return Vec::new();
    }
    let opens = |rest: &str| {
        ["{", "fn ", "impl", "trait ", "extern "]
            .iter()
            .any(|what| rest.trim_start().starts_with(what))
    };
    file.lines()
        .map(|(number, line)| (number, line.split("//").next().unwrap_or("")))
        .filter(|(_, code)| {
            code.match_indices(&keyword)
                .any(|(place, _)| opens(&code[place + keyword.len()..]))
        })
        .map(|(number, _)| file.say(number, &format!("{keyword} outside {}", UNSAFE_PLACES[0])))
        .collect()
}

/// Paths of the machine that a file was written on, and hosts that crates or packages come from:
/// neither is the same for whoever reads it.
fn names_no_workplace(file: &SourceFile) -> Vec<String> {
    let mut needles: Vec<String> = ["main", "shared", "wt"]
        .iter()
        .map(|room| format!("/{}/{room}", "work"))
        .collect();
    // The lock file names the registry of every crate; that is its format.
    if !file.path.ends_with("Cargo.lock") {
        let hosts = [
            ["crates", ".io"],
            ["pypi", ".org"],
            ["pythonhosted", ".org"],
            ["npmjs", ".org"],
            ["proxy.golang", ".org"],
        ];
        needles.extend(hosts.map(|pieces| pieces.concat()));
    }
    file.lines()
        .filter_map(|(number, line)| {
            let needle = needles
                .iter()
                .find(|needle| line.contains(needle.as_str()))?;
            Some(file.say(number, &format!("`{needle}` belongs to one workplace")))
        })
        .collect()
}

/// Whether `word` stands in `line` and no letter touches it.
fn has_word(line: &str, word: &str) -> bool {
    let touches =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    line.match_indices(word).any(|(place, _)| {
        let (before, behind) = (
            &line.as_bytes()[..place],
            &line.as_bytes()[place + word.len()..],
        );
        !touches(before.last()) && !touches(behind.first())
    })
}

/// Every file below fixtures/ is named by a README.md of its folder or of one above, with who made
/// it. The crate of that name is code.
fn fixtures_without_origin(files: &[SourceFile]) -> Vec<String> {
    let is_recorded = |file: &&SourceFile| {
        file.in_dir("fixtures/")
            && !file.in_dir("fixtures/src/")
            && file.path != "fixtures/Cargo.toml"
            && !file.path.ends_with("/README.md")
    };
    let is_named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        Path::new(path).ancestors().skip(1).any(|folder| {
            let readme = folder.join("README.md");
            files
                .iter()
                .find(|file| Path::new(&file.path) == readme)
                .and_then(|readme| readme.text.as_deref())
                .is_some_and(|text| readme.starts_with("fixtures") && text.contains(name))
        })
    };
    files
        .iter()
        .filter(is_recorded)
        .filter(|file| !is_named(&file.path))
        .map(|file| {
            file.say(
                1,
                "no README.md of fixtures says who made it, by which command",
            )
        })
        .collect()
}

/// Every counter is explained where operators look.
fn counters_without_meaning(files: &[SourceFile], labels: &[&str]) -> Vec<String> {
    let page = text_of(files, METRICS_PAGE);
    labels
        .iter()
        .filter(|label| !page.contains(&format!("`{label}`")))
        .map(|label| format!("{METRICS_PAGE}:1: the counter `{label}` is not explained"))
        .collect()
}

/// The page of dependencies has a section for each crate, with exactly its direct dependencies.
fn dependencies_without_reason(files: &[SourceFile]) -> Vec<String> {
    let page = text_of(files, DEPENDENCIES_PAGE);
    let mut found = Vec::new();
    for manifest in files {
        let Some(folder) = manifest.path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        let used = dependencies_of(manifest);
        let listed = listed_in(page, folder);
        for name in used.difference(&listed) {
            let what = format!("`{name}` has no line below `## {folder}` in {DEPENDENCIES_PAGE}");
            found.push(manifest.say(1, &what));
        }
        for name in listed.difference(&used) {
            found.push(format!(
                "{DEPENDENCIES_PAGE}:1: `{name}` is listed below `## {folder}`, which does not use it"
            ));
        }
    }
    found
}

/// Names in a manifest's tables of dependencies, without our own crates.
fn dependencies_of(manifest: &SourceFile) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for (_, line) in manifest.lines() {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            if let Some((_, name)) = table.rsplit_once("dependencies.") {
                names.insert(name.to_owned());
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or(line);
            names.insert(name.to_owned());
        }
    }
    names.retain(|name| !name.starts_with("benzene-"));
    names
}

/// The first cells of the table below the page's heading for `folder`.
fn listed_in(page: &str, folder: &str) -> BTreeSet<String> {
    let heading = format!("## {folder}");
    page.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn text_of<'a>(files: &'a [SourceFile], path: &str) -> &'a str {
    files
        .iter()
        .find(|file| file.path == path)
        .and_then(|file| file.text.as_deref())
        .unwrap_or("")
}

/// Every file below the workspace's root, sorted by path.
fn workspace() -> io::Result<Vec<SourceFile>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            if SKIPPED_DIRS.iter().any(|skipped| name == *skipped) {
                continue;
            }
            let path = folder.join(name);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.push(read(&root, &path)?);
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn read(root: &Path, path: &Path) -> io::Result<SourceFile> {
    let full = root.join(path);
    let bytes = if fs::metadata(&full)?.len() <= TEXT_BYTES_MAX {
        Some(fs::read(&full)?)
    } else {
        None
    };
    Ok(SourceFile {
        path: path.to_string_lossy().into_owned(),
        text: bytes.and_then(|bytes| String::from_utf8(bytes).ok()),
    })
}

#[test]
fn the_workspace_is_tidy() {
    let files = workspace().unwrap();
    assert!(files.len() > 20, "only {} files were found", files.len());
    let labels: Vec<_> = Counter::ALL.iter().map(|counter| counter.label()).collect();
    let mut found: Vec<String> = files
        .iter()
        .flat_map(|file| RULES.iter().flat_map(|rule| rule(file)))
        .collect();
    found.extend(fixtures_without_origin(&files));
    found.extend(counters_without_meaning(&files, &labels));
    found.extend(dependencies_without_reason(&files));
    let mut report = String::new();
    for message in &found {
        writeln!(report, "{message}").unwrap();
    }
    assert!(found.is_empty(), "{} untidy places:\n{report}", found.len());
}

/// What all rules about one file say about this one.
fn said(path: &str, text: &str) -> Vec<String> {
    let file = SourceFile::new(path, text);
    RULES.iter().flat_map(|rule| rule(&file)).collect()
}

#[test]
fn a_file_in_order_is_left_alone() {
    let text =
        "//! A cache.\n\nfn full(&self) -> bool {\n    matches!(self.state, State::Full)\n}\n";
    assert_eq!(said("engine/src/cache/mod.rs", text), [""; 0]);
    assert_eq!(
        said(
            "docs/durability.md",
            &["TO", "DO in prose: \u{e9}\n"].concat()
        ),
        [""; 0]
    );
    let ring = ["//! A ring.\n", "uns", "afe { push() }\n"].concat();
    assert_eq!(said("engine/src/ring/uring.rs", &ring), [""; 0]);
}

#[test]
fn each_rule_about_a_file_gives_its_message() {
    let long = ["//! Long.\n".to_owned(), "x\n".repeat(LINES_MAX)].concat();
    let keyword = ["uns", "afe"].concat();
    let (fix, later) = (["FIX", "ME"].concat(), ["TO", "DO"].concat());
    let workplace = format!("see /{}/{}", "work", "shared");
    let registry = ["from crates", ".io"].concat();
    let rows = [
        (
            "engine/src/a.rs",
            "fn a() {}\n".to_owned(),
            "engine/src/a.rs:1: a file opens with `//!`: what it is, what it never does, what happens on failure"
                .to_owned(),
        ),
        ("a.rs", long, format!("a.rs:801: 801 lines, at most {LINES_MAX}")),
        (
            "server/src/util/mod.rs",
            "//! x\n".to_owned(),
            "server/src/util/mod.rs:1: the name `util` says nothing about what is inside".to_owned(),
        ),
        (
            "a.rs",
            format!("//! x\n// {fix} soon\n"),
            format!("a.rs:2: {fix} is done before it is committed"),
        ),
        (
            ".ci/run",
            format!("# {later}: more\n# {later} #12: fine\n"),
            format!(".ci/run:1: a {later} names its issue: #123"),
        ),
        (
            "a.rs",
            ["//! x\n    matches", "!(\n        f(x),\n        Some(_)\n    );\n"].concat(),
            "a.rs:2: this checks nothing: assert it, or name its value".to_owned(),
        ),
        (
            "Cargo.toml",
            "# \u{2013}\n".to_owned(),
            "Cargo.toml:1: not ASCII: write it as \\u{..}".to_owned(),
        ),
        (
            "server/src/a.rs",
            format!("//! x\nlet a = {keyword} {{ b() }};\n#![expect({keyword}_code)]\n// {keyword} {{\n"),
            format!("server/src/a.rs:2: {keyword} outside engine/src/ring/"),
        ),
        (
            "docs/a.md",
            workplace,
            format!("docs/a.md:1: `/{}/{}` belongs to one workplace", "work", "shared"),
        ),
        (
            "docs/a.md",
            registry,
            format!("docs/a.md:1: `crates{}` belongs to one workplace", ".io"),
        ),
    ];
    for (path, text, message) in rows {
        assert_eq!(said(path, &text), [message]);
    }
    assert_eq!(
        said("Cargo.lock", &["source = crates", ".io\n"].concat()),
        [""; 0]
    );
}

#[test]
fn a_fixture_that_no_readme_names_is_told() {
    let files = [
        SourceFile::new("fixtures/Cargo.toml", ""),
        SourceFile::new("fixtures/README.md", "plain.wsp: by whisper-create\n"),
        SourceFile::new("fixtures/collectd/README.md", "capture.line: by collectd\n"),
        SourceFile::new("fixtures/collectd/capture.line", ""),
        SourceFile::new("fixtures/collectd/other.line", ""),
        SourceFile::new("fixtures/files/deep/plain.wsp", ""),
        SourceFile::new("fixtures/src/lib.rs", ""),
        SourceFile::new("README.md", "other.line\n"),
    ];
    assert_eq!(
        fixtures_without_origin(&files),
        [
            "fixtures/collectd/other.line:1: no README.md of fixtures says who made it, by which command"
        ]
    );
}

#[test]
fn a_counter_without_meaning_is_told() {
    let files = [SourceFile::new(METRICS_PAGE, "| `received` | points |\n")];
    assert_eq!(
        counters_without_meaning(&files, &["received", "own"]),
        ["docs/operating/metrics.md:1: the counter `own` is not explained"]
    );
    assert_eq!(counters_without_meaning(&[], &["own"]).len(), 1);
}

#[test]
fn a_dependency_without_reason_and_a_reason_without_dependency_are_told() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# for names\nmemchr.workspace = true\n\
                    benzene-engine.workspace = true\n[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n\
                    [dev-dependencies.proptest]\nversion = \"1\"\n[lints]\nworkspace = true\n";
    let page =
        "## engine\n| `memchr` | lines |\n| `sha2` | hashes |\n## server\n| `rustix` | calls |\n";
    let files = [
        SourceFile::new("engine/Cargo.toml", manifest),
        SourceFile::new("Cargo.toml", "[workspace.dependencies]\nanyhow = \"1\"\n"),
        SourceFile::new(DEPENDENCIES_PAGE, page),
    ];
    assert_eq!(
        dependencies_without_reason(&files),
        [
            "engine/Cargo.toml:1: `proptest` has no line below `## engine` in \
             docs/decisions/0002-dependencies.md",
            "engine/Cargo.toml:1: `rustix` has no line below `## engine` in \
             docs/decisions/0002-dependencies.md",
            "docs/decisions/0002-dependencies.md:1: `sha2` is listed below `## engine`, which does \
             not use it",
        ]
    );
}
