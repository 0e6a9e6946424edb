//! The option table in words: the long help of `benzene cache`, the page
//! docs/operating/carbon.conf.md, and the sample docs/operating/carbon.conf.
//! Everything is rendered from the table, so that no text can disagree with the program; a test
//! compares the two committed files with what is rendered here.

use std::fmt::Write as _;

use super::instances::among;
use super::option::{ConfOption, Standing};
use super::table::OPTIONS;
use super::value::{Bound, Kind, RATE_MIN, time_text};

const PAGE_HEAD: &str = "\
# carbon.conf

Written from the option table of the program (`server/src/config/table.rs`); do not edit by hand:
`BENZENE_WRITE_DOCS=1 cargo test -p benzene-server --test it config` writes it again.

`benzene cache --config carbon.conf --instance NAME` reads `[cache]`, then `[cache:NAME]`, which
wins. Without `--instance` one process answers for all instances of the file
([see below](#several-instances-in-one-process)). The grammar is that of Python's ConfigParser: comments on lines of their own, indented lines
continue a value, `%(KEY)s` stands for another key's value, `%%` for a percent sign. Sections of
carbon-relay and carbon-aggregator are skipped.

A value that cannot be read stops the start with its line and what to write instead. One with which
Python carbon runs and that is beyond the values below does not: a warning at start, and
`benzene check-config`, name it with what is used in its place, which is the nearest value, `inf` for
a limit that is too high, and `sorted` for a CACHE_WRITE_STRATEGY that nobody knows. A
METRIC_CLIENT_IDLE_TIMEOUT below 0 or of a word is `None`, and a MAX_UPDATES_PER_SECOND_ON_SHUTDOWN of 0
or of a word is as if it were not set. Keys that are not acted on, and keys that nobody knows, are named
in one warning at start.
";

const PYTHON_HEAD: &str = "
## Where our defaults are not Python's

A value in the file is obeyed as it stands. Where the file says nothing:
";

const ALONE_HEAD: &str = "
## Without a carbon.conf

Defaults are the same with and without a file, but for these:
";

const INSTANCES_HEAD: &str = "
## Several instances in one process

Without `--instance`, a carbon.conf with sections `[cache:b]`, `[cache:c]` is read for all of them,
each as Python carbon reads it, and one process answers at all their ports for every metric. `a` is
`[cache]` alone where no section is called `[cache:a]`; nobody has named that one, so it gives way
where a port of it is another instance's, or that of a `[relay]` of the same file whose DESTINATIONS
have other ports than its own; a port that another `[relay]` names it leaves to a process that has it
already. INSTANCES in `[cache]` says which instances are meant. Receivers of several instances may have
one port, as by SO_REUSEPORT in Python; cache queries may not. What several instances say of one process
([0021](../decisions/0021-instances.md)):

Options that are not in this table must be the same for all instances; where they are not, the start
is refused with both lines.
";

/// The options that we act on, for `benzene cache --help`.
pub fn help_section() -> String {
    let mut text = String::from(
        "carbon.conf, section [cache] (all options: docs/operating/carbon.conf.md):\n",
    );
    for option in acted() {
        let ConfOption { name, meaning, .. } = option;
        let default = match value_word(option.default) {
            "" => String::new(),
            default => format!(" [{default}]"),
        };
        line(&mut text, &format!("  {name}{default}\n      {meaning}"));
    }
    text
}

/// docs/operating/carbon.conf.md.
pub fn manual_page() -> String {
    let mut page = String::from(PAGE_HEAD);
    line(&mut page, "\n## Acted on\n");
    line(
        &mut page,
        "| option | default | values | unit | meaning | flag |",
    );
    line(&mut page, "|---|---|---|---|---|---|");
    for option in acted() {
        let ConfOption {
            name,
            meaning,
            unit,
            ..
        } = option;
        let (default, values) = (cell(option.default), values(option));
        let flag = option.flag.map(cell).unwrap_or_default();
        line(
            &mut page,
            &format!("| {name} | {default} | {values} | {unit} | {meaning} | {flag} |"),
        );
    }
    page.push_str(PYTHON_HEAD);
    line(
        &mut page,
        "\n| option | ours | Python carbon's |\n|---|---|---|",
    );
    for option in OPTIONS {
        if let Some(python) = option.python {
            let ours = cell(option.default);
            line(
                &mut page,
                &format!("| {} | {ours} | {} |", option.name, cell(python)),
            );
        }
    }
    page.push_str(ALONE_HEAD);
    line(
        &mut page,
        "\n| option | with a file | without |\n|---|---|---|",
    );
    for option in OPTIONS {
        if let Some(alone) = option.alone {
            let with = cell(option.default);
            line(
                &mut page,
                &format!("| {} | {with} | {} |", option.name, cell(alone)),
            );
        }
    }
    let alone = super::STORAGE_DIR_ALONE;
    line(
        &mut page,
        &format!("| STORAGE_DIR | see above | `{alone}` in the working directory |"),
    );
    instances_table(&mut page);
    not_acted_tables(&mut page);
    page
}

fn instances_table(page: &mut String) {
    page.push_str(INSTANCES_HEAD);
    line(page, "\n| option | what holds for the process |\n|---|---|");
    for option in acted() {
        let words = among(option.name).words();
        if !words.is_empty() {
            line(page, &format!("| {} | {words} |", option.name));
        }
    }
}

fn not_acted_tables(page: &mut String) {
    line(page, "\n## Not acted on in this version\n");
    line(
        page,
        "Setting one of these to anything but the value in the second column is named in a",
    );
    line(page, "warning at start.\n");
    line(
        page,
        "| option | what we do | meaning | instead |\n|---|---|---|---|",
    );
    for option in OPTIONS {
        if let Standing::NotYet { same, instead } = option.standing {
            let ConfOption { name, meaning, .. } = option;
            line(
                page,
                &format!("| {name} | {} | {meaning} | {instead} |", cell(same)),
            );
        }
    }
    line(page, "\n## Refused\n");
    line(
        page,
        "| option | accepted | why nothing else |\n|---|---|---|",
    );
    for option in OPTIONS {
        if let Standing::Refused { same, reason } = option.standing {
            line(
                page,
                &format!("| {} | {} | {reason} |", option.name, cell(same)),
            );
        }
    }
    line(page, "\n## Accepted without effect\n");
    line(page, "| option | why |\n|---|---|");
    for option in OPTIONS {
        if let Standing::Idle { why } = option.standing {
            line(page, &format!("| {} | {why} |", option.name));
        }
    }
}

/// docs/operating/carbon.conf: every option that we act on, commented out, at its default.
pub fn sample_file() -> String {
    let mut sample = String::from(
        "# A carbon.conf for `benzene cache --config`: every option that is acted on, at its default.\n\
         # Comments stand on lines of their own. What changes for one instance goes into [cache:NAME].\n\
         # Written from the option table of the program; see carbon.conf.md beside this file.\n\n\
         [cache]\n",
    );
    for option in acted() {
        let ConfOption {
            name,
            meaning,
            default,
            ..
        } = option;
        let unit = match option.unit {
            "" => String::new(),
            unit => format!(" ({unit})"),
        };
        let setting = format!("# {name} = {default}");
        line(
            &mut sample,
            &format!("# {meaning}{unit}\n{}\n", setting.trim_end()),
        );
    }
    sample
}

fn acted() -> impl Iterator<Item = &'static ConfOption> {
    OPTIONS
        .iter()
        .filter(|option| option.standing == Standing::Acted)
}

/// A default as a word, empty where the meaning says it.
fn value_word(text: &str) -> &str {
    if text == "auto" { "" } else { text }
}

fn cell(text: &str) -> String {
    if text.is_empty() {
        "not set".to_owned()
    } else {
        format!("`{text}`")
    }
}

/// What an option accepts, in words.
fn values(option: &ConfOption) -> String {
    let numbers = |bound: Bound| format!("{} to {}", bound.min, bound.max);
    match option.kind {
        Kind::Switch => "True, False".to_owned(),
        Kind::Integer(bound) | Kind::Loose(bound) => numbers(bound),
        Kind::Limit(bound) => format!("{}, inf", numbers(bound)),
        Kind::Rate { bound, none } => {
            let none = if none { "0, " } else { "" };
            format!("{none}{RATE_MIN} to {}, inf, auto", bound.max)
        }
        Kind::Bytes(bound) => format!("{}; k, m, g or t may follow", numbers(bound)),
        Kind::Time { bound, words } => {
            let times = format!("{} to {}", time_text(bound.min), time_text(bound.max));
            [&[times.as_str()], words].concat().join(", ")
        }
        Kind::Host => "host names or addresses".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::List => "texts with commas".to_owned(),
        Kind::Choice { now, .. } => now.join(", "),
    }
}

fn line(text: &mut String, words: &str) {
    if writeln!(text, "{words}").is_err() {
        unreachable!("a String takes every text")
    }
}
