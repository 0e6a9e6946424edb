//! `benzene import-config`: reads go-carbon's configuration and writes a carbon.conf that says the
//! same, each setting translated or named in a comment with the reason.
//! Only reads; writes one file where --output names it, and never over an existing one.
//! Invariant, checked before anything is written: the daemon would accept what is written.
//! On failure: what cannot be read, with the line; nothing is written.

mod listeners;
mod schemas;
mod settings;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use toml::{Table, Value};

use crate::cli::{CacheOptions, ImportConfigOptions};
use crate::config;
use crate::exit::Exit;

/// What becomes of settings, in the order of the file that is written.
#[derive(Debug, Default)]
struct Translation {
    lines: Vec<String>,
    /// Settings without a counterpart, each with its reason.
    without: Vec<String>,
    /// What the operator should look at.
    look: Vec<String>,
}

impl Translation {
    /// A setting, with where it comes from.
    fn set(&mut self, from: &str, option: &str, value: &str) {
        self.lines.push(format!("# {from}\n{option} = {value}"));
    }

    /// One that has no counterpart, and need have none.
    fn without(&mut self, from: &str, reason: &str) {
        self.without.push(format!("{from}: {reason}"));
    }

    /// One after whose loss something may be missing.
    fn look(&mut self, from: &str, reason: &str) {
        self.look.push(format!("{from}: {reason}"));
    }
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
    let mut translation = Translation::default();
    // Of two receivers of one kind the main one is translated.
    let (more, main): (Vec<_>, Vec<_>) = table.iter().partition(|(name, _)| *name == "receiver");
    for (section, settings) in main.into_iter().chain(more) {
        match settings {
            Value::Table(settings) => translate_section(section, settings, &mut translation),
            Value::Array(_) if section == "logging" => settings::logging(&mut translation),
            other @ (Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)) => {
                let from = format!("{section} = {}", said(other));
                translation.without(&from, "go-carbon has no such setting");
            }
        }
    }
    settings::log_lines(&mut translation);
    schemas::look(table, &mut translation);
    compose(path, &translation)
}

fn translate_section(section: &str, settings: &Table, translation: &mut Translation) {
    if listeners::translate(section, settings, translation) {
        return;
    }
    if let Some(whole) = settings::whole_section(section) {
        let on = settings.get("enabled") == Some(&Value::Boolean(true));
        let from = format!("[{section}]");
        match whole {
            settings::Whole::Without(reason) => translation.without(&from, reason),
            settings::Whole::Missed(reason) if on => translation.look(&from, reason),
            settings::Whole::Missed(_) => translation.without(&from, "it is not enabled"),
        }
        return;
    }
    // The schemas' directory becomes CONF_DIR, where the other rules are looked for, too.
    let (schemas, others): (Vec<_>, Vec<_>) =
        settings.iter().partition(|(key, _)| *key == "schemas-file");
    for (key, value) in schemas.into_iter().chain(others) {
        settings::translate(section, key, value, translation);
    }
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
    for line in &translation.lines {
        text.push_str(line);
        text.push_str("\n\n");
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
