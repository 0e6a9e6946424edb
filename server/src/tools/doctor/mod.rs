//! `benzene doctor`: what this machine allows, read with the configuration that the daemon would
//! read, and what to change. Every finding says what was seen, what it means and how to mend it.
//! Nothing on disk is changed and nothing is sent; ports are bound for a moment and given back.
//! What is looked at is what the start of the daemon needs (`desk`), in the same order, so that our
//! exit code is the one that `benzene cache` would end with now, started by this user. Root becomes
//! USER on the way, as the daemon does (`user`).

mod finding;
mod machine;
mod ports;
mod storage;
mod user;

use std::io::Write as _;
use std::path::Path;

use crate::cli::{CacheOptions, DoctorOptions};
use crate::config::{self, Settings};
use crate::desk;
use crate::exit::Exit;
use crate::process::User;
use finding::{Finding, Report};
use ports::Attempts;
use storage::Looks;

/// Looks and prints.
pub fn run(options: &DoctorOptions) -> Exit {
    let environment = |name: &str| std::env::var(name).ok();
    let findings = match config::load(&options.daemon, &environment, &config::read_file) {
        Ok(loaded) => {
            let mut findings = configuration(&loaded.settings, &loaded.warnings);
            findings.extend(with_settings(&loaded.settings, &options.daemon));
            findings
        }
        Err(error) => {
            let wrong = Finding::ok(
                "configuration",
                error.to_string(),
                "the daemon starts only when every setting can be read",
            );
            let mend = "correct the line that is named; the rest of what it says was not looked at";
            let mut findings = vec![wrong.fails(Exit::Config, mend)];
            findings.extend(machine::findings(None));
            findings
        }
    };
    let (report, exit) = Report::new(findings);
    let text = if options.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => json + "\n",
            Err(error) => unreachable!("texts and numbers become JSON: {error}"),
        }
    } else {
        report.text()
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => exit,
        Err(error) => fail(&format!("cannot print: {error}")),
    }
}

/// What was read.
fn configuration(settings: &Settings, warnings: &[String]) -> Vec<Finding> {
    let file = settings.config_file.as_ref();
    let seen = file.map_or_else(
        || "no carbon.conf".to_owned(),
        |file| file.display().to_string(),
    );
    let mut findings = vec![Finding::ok(
        "configuration",
        seen,
        match settings.instances.as_slice() {
            [one] => format!("instance {} can be read", one.name),
            _ => format!(
                "instances {} can be read, and one process answers for them",
                settings.names()
            ),
        },
    )];
    findings.extend(warnings.iter().map(|warning| {
        let noted = Finding::ok("configuration", warning, "the daemon starts all the same");
        noted.but("change or remove what is named, if it matters to you")
    }));
    findings
}

/// The findings, in the order in which the daemon meets them. What the command line names, log files and a
/// pid file, is written even in the foreground.
fn with_settings(settings: &Settings, named: &CacheOptions) -> Vec<Finding> {
    let (mut attempts, mut looks) = (Attempts::default(), Looks::default());
    let (user, found) = user::take_on(settings.user.as_deref(), |user| {
        attempts.make(settings, |at| user.leaves_binding_to_root(at));
        looks.see_disks_as_root(&settings.data);
    });
    looks.user = user;
    let machine = machine::findings(Some(settings));
    let mut bound = ports::findings(settings, attempts);
    let wants_logs = named.logdir.is_some();
    bound.push(storage::of_logs(&looks, &settings.log_dir, wants_logs));
    bound.extend(storage::of_files(&looks, settings, named));
    let held = vec![instances(settings)];
    let unread = looks.user.as_ref().map(|user| unread(settings, user));
    // Who becomes another user can tell what that one may have only when the ports are bound.
    let first = if looks.user.is_some() {
        [bound, held, machine]
    } else {
        [machine, held, bound]
    };
    let journals = storage::of_journals(&looks, settings);
    std::iter::once(found)
        .chain(first.into_iter().flatten())
        .chain(storage::findings(&looks, &settings.data))
        .chain(journals)
        .chain(unread.into_iter().flatten())
        .collect()
}

/// The configuration files that root can read and the daemon's user cannot.
fn unread(settings: &Settings, user: &User) -> Vec<Finding> {
    let files = desk::out_of_reach(settings).into_iter();
    let one = |file: &Path| {
        let means = format!(
            "root reads it at the start, and {} may not: what changes there waits for the next start",
            user.name()
        );
        let found = Finding::ok("reload", file.display().to_string(), means);
        found.but(desk::give_to(user.name(), file))
    };
    files.map(one).collect()
}

/// Whether another process answers for the instances.
fn instances(settings: &Settings) -> Finding {
    const WHAT: &str = "instances";
    let Some(rival) = desk::rival(settings) else {
        return Finding::ok(WHAT, settings.names(), "no other process answers for them");
    };
    let means = "the daemon does not start beside it; if that is the one that is to be replaced, this is \
                 as it should be until it is stopped";
    Finding::ok(WHAT, rival.to_string(), means).fails(Exit::Journal, "do as it says")
}

#[expect(
    clippy::print_stderr,
    reason = "a tool's errors belong on standard error"
)]
fn fail(message: &str) -> Exit {
    eprintln!("benzene doctor: {message}");
    Exit::Failure
}

/// So many bytes as an operator reads them.
fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.iter().find(|(_, bits)| count >> bits > 0);
    unit.map_or_else(
        || format!("{count} bytes"),
        |(name, bits)| {
            let tenths = (u128::from(count) * 10) >> bits;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_in_their_largest_unit() {
        for (count, said) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_600_000, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), said);
        }
    }
}
