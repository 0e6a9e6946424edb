//! `benzene import-config`: reads go-carbon's configuration and writes a carbon.conf that says the
//! same, each setting translated or named in a comment with the reason. What the file leaves out is
//! written too, as go-carbon assumes it, where Benzene assumes something else.
//! Only reads; writes one file where --output names it, and never over an existing one.
//! Invariant, checked before anything is written: the daemon would accept what is written.
//! On failure: what cannot be read, with the line; nothing is written.

mod defaults;
mod listeners;
mod schemas;
mod settings;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::cli::{CacheOptions, ImportConfigOptions};
use crate::config;
use crate::exit::Exit;
use defaults::Section;

/// A line of the carbon.conf.
#[derive(Debug)]
struct Line {
    from: String,
    option: &'static str,
    value: String,
}

/// What becomes of settings, in the order of the file that is written.
#[derive(Debug, Default)]
struct Translation {
    lines: Vec<Line>,
    /// Settings without a counterpart, each with its reason.
    without: Vec<String>,
    /// What the operator should look at.
    look: Vec<String>,
    /// The file leaves out what is translated now.
    is_left_out: bool,
    /// Where the rule files are to be.
    conf_dir: Option<PathBuf>,
    /// Ports of receivers that something listens on.
    taken: Vec<&'static str>,
}

impl Translation {
    /// A setting, with where it comes from; of two for one option the later holds. What the file leaves
    /// out is written only where Benzene assumes something else.
    fn set(&mut self, from: &str, option: &'static str, value: &str) {
        let is_set = self.lines.iter().any(|line| line.option == option);
        if self.is_left_out && !is_set && is_assumed(option, value) {
            return;
        }
        let from = self.origin(from);
        if value.contains(char::is_control) {
            self.look
                .push(format!("{from}: carbon.conf holds no such text"));
            return;
        }
        self.lines.retain(|line| line.option != option);
        let value = value.to_owned();
        self.lines.push(Line {
            from,
            option,
            value,
        });
    }

    /// One that has no counterpart, and need have none.
    fn without(&mut self, from: &str, reason: &str) {
        if !self.is_left_out {
            self.without.push(format!("{from}: {reason}"));
        }
    }

    /// One after whose loss something may be missing.
    fn look(&mut self, from: &str, reason: &str) {
        let from = self.origin(from);
        self.look.push(format!("{from}: {reason}"));
    }

    fn origin(&self, from: &str) -> String {
        if self.is_left_out {
            format!("{from}, as go-carbon assumes where the file leaves it out")
        } else {
            from.to_owned()
        }
    }
}

/// Whether Benzene does the same where carbon.conf says nothing.
fn is_assumed(option: &str, value: &str) -> bool {
    let Some(option) = config::find(option) else {
        unreachable!("{option} is translated to and no option")
    };
    option.means(&option.assumed(true), value)
}

/// Reads, translates and writes.
pub fn run(options: &ImportConfigOptions) -> Exit {
    let text = match config::read_file(&options.path) {
        Ok(text) => text,
        Err(error) => {
            return fail(
                &format!("{}: {error}", options.path.display()),
                Exit::Config,
            );
        }
    };
    let table: Table = match toml::from_str(&text) {
        Ok(table) => table,
        Err(error) => {
            let message = format!("{}: {error}", options.path.display());
            return fail(&message, Exit::Config);
        }
    };
    let written = translate(&options.path, &table);
    if let Err(error) = accepted(&written) {
        let message = format!(
            "{}: a setting has a value that Benzene refuses: {error}",
            options.path.display()
        );
        return fail(&message, Exit::Config);
    }
    let done = match &options.output {
        None => io::stdout().write_all(written.as_bytes()),
        Some(path) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|mut file| file.write_all(written.as_bytes())),
    };
    match (done, &options.output) {
        (Ok(()), _) => Exit::Success,
        (Err(error), Some(path)) => fail(&format!("{}: {error}", path.display()), Exit::Failure),
        (Err(error), None) => fail(&format!("cannot print: {error}"), Exit::Failure),
    }
}

/// The text of the carbon.conf.
fn translate(path: &Path, table: &Table) -> String {
    let assumed = defaults::table();
    let nothing = Table::new();
    let section = |name: &str| Section {
        written: table
            .get(name)
            .and_then(Value::as_table)
            .unwrap_or(&nothing),
        assumed: assumed
            .get(name)
            .and_then(Value::as_table)
            .unwrap_or(&nothing),
    };
    let mut translation = Translation {
        conf_dir: settings::conf_dir(section("whisper")),
        ..Translation::default()
    };
    let mut names: Vec<&String> = table.keys().chain(assumed.keys()).collect();
    names.sort();
    names.dedup();
    // Of two receivers of one kind the main one is translated.
    names.sort_by_key(|name| *name == "receiver");
    for name in names {
        match table.get(name) {
            Some(Value::Table(_)) | None => {
                translate_section(name, section(name), &mut translation);
            }
            Some(Value::Array(_)) if name == "logging" => settings::logging(&mut translation),
            Some(
                other @ (Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_)),
            ) => {
                let from = format!("{name} = {}", said(other));
                translation.without(&from, "go-carbon has no such setting");
            }
        }
    }
    settings::log_lines(&mut translation);
    schemas::look(section("whisper"), &mut translation);
    compose(path, &translation)
}

fn translate_section(name: &str, section: Section<'_>, translation: &mut Translation) {
    if listeners::translate(name, section, translation) {
        return;
    }
    if let Some(whole) = settings::whole_section(name) {
        let from = format!("[{name}]");
        translation.is_left_out = section.written.is_empty();
        match whole {
            settings::Whole::Without(reason) => translation.without(&from, reason),
            settings::Whole::Missed(reason) if section.is_on(false) => {
                translation.look(&from, reason);
            }
            settings::Whole::Missed(_) => translation.without(&from, "it is not enabled"),
        }
    } else {
        for (key, value, is_written) in section.entries() {
            translation.is_left_out = !is_written;
            settings::translate(name, key, value, translation);
        }
    }
    translation.is_left_out = false;
}

fn compose(path: &Path, translation: &Translation) -> String {
    let comments = |lines: &[String]| {
        let lines = lines.iter().flat_map(|line| line.lines());
        let lines: Vec<String> = lines.map(|line| format!("# {line}")).collect();
        lines.join("\n") + "\n"
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "# carbon.conf for Benzene, made by `benzene import-config {name}`.\n\
         # Before it is used: benzene check-config carbon.conf\n\n[cache]\n"
    );
    for Line {
        from,
        option,
        value,
    } in &translation.lines
    {
        text.push_str(&comments(std::slice::from_ref(from)));
        // A percent sign in a value begins a reference, as in Python's configuration files.
        let value = value.replace('%', "%%");
        text.extend([option, " = ", &value, "\n\n"]);
    }
    if !translation.look.is_empty() {
        text.push_str("# To look at:\n");
        text.push_str(&comments(&translation.look));
        text.push('\n');
    }
    text.push_str("# Without a counterpart:\n");
    text.push_str(&comments(&translation.without));
    text
}

/// Whether the daemon would take it.
fn accepted(text: &str) -> Result<(), config::ConfigError> {
    let file = Path::new("carbon.conf");
    let options = CacheOptions {
        config: Some(file.to_owned()),
        ..CacheOptions::default()
    };
    let read = |path: &Path| {
        let found = (path == file).then(|| text.to_owned());
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    config::load_conf(&options, &|_| None, &read).map(|_| ())
}

/// A value as it is written in the file.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}\""),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(on) => on.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(_) => "[...]".to_owned(),
        Value::Table(_) => "{...}".to_owned(),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a tool's errors belong on standard error"
)]
fn fail(message: &str, exit: Exit) -> Exit {
    eprintln!("benzene import-config: {message}");
    exit
}
