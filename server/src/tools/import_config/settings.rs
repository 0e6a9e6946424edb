//! go-carbon's settings one by one, but for its listeners: what each is here, or why it is nothing.
//! The names are those of go-carbon's documented configuration; one that is not among them is said.

use std::path::{Path, PathBuf};

use toml::Value;

use super::defaults::Section;
use super::{Translation, said};

/// Sections that are nothing here as a whole.
pub(super) enum Whole {
    /// Nobody misses it.
    Without(&'static str),
    /// What it does is missed where it is enabled.
    Missed(&'static str),
}

/// What becomes of a section as a whole.
pub(super) fn whole_section(section: &str) -> Option<Whole> {
    Some(match section {
        "carbonserver" => Whole::Missed(
            "there is no HTTP read API: graphite-web reads the files and asks the cache at \
             CACHE_QUERY_PORT; go on with go-carbon where carbonapi or a remote graphite-web reads here",
        ),
        "grpc" => Whole::Missed("there is no gRPC: readers ask the cache at CACHE_QUERY_PORT"),
        "prometheus" => {
            Whole::Missed("own metrics go to their Whisper files: docs/operating/metrics.md")
        }
        "pprof" => Whole::Missed("profiles are taken from outside, with perf"),
        "dump" => Whole::Without(
            "the journal does that, at every moment and not at SIGUSR2 only: docs/durability.md",
        ),
        "tracing" => Whole::Without("there is none"),
        _ => return None,
    })
}

/// `[[logging]]`.
pub(super) fn logging(translation: &mut Translation) {
    translation.without(
        "[[logging]]",
        "see --log and LOG_DIR for what is logged where",
    );
}

/// What Python carbon logs where nobody says otherwise, and go-carbon never does: a line for each
/// update and each query.
pub(super) fn log_lines(translation: &mut Translation) {
    for option in ["LOG_UPDATES", "LOG_CACHE_HITS"] {
        translation.set("as in go-carbon", option, "False");
    }
}

/// How a setting is written here.
enum How {
    /// With the same text.
    As(&'static str),
    /// True or False.
    Switch(&'static str),
    /// A number; 0 is no limit.
    Limit(&'static str),
    /// Per second there, per minute here; 0 is no limit.
    PerMinute(&'static str),
    /// A duration, here in whole seconds.
    Seconds(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// Nothing, and it is missed where it is not false or 0.
    Missed(&'static str),
    /// Something of its own.
    Own(fn(&str, &Value, &mut Translation)),
}

const NO_MIGRATION: &str = "existing files stay as they were made; whisper-resize.py changes them";
const BROKEN_FILES: &str =
    "a file that stays broken for a minute is renamed and made again by itself";
const QUEUES: &str =
    "what is received waits in one bounded cache, and senders wait when it is full";

/// Every setting but the listeners'.
const SETTINGS: &[(&str, &str, How)] = &[
    ("common", "user", How::As("USER")),
    ("common", "graph-prefix", How::Own(graph_prefix)),
    ("common", "metric-endpoint", How::Own(metric_endpoint)),
    (
        "common",
        "metric-interval",
        How::Seconds("CARBON_METRIC_INTERVAL"),
    ),
    ("common", "max-cpu", How::Own(max_cpu)),
    ("whisper", "data-dir", How::Own(data_dir)),
    ("whisper", "schemas-file", How::Own(schemas_file)),
    ("whisper", "aggregation-file", How::Own(aggregation_file)),
    (
        "whisper",
        "quotas-file",
        How::Missed("there are no quotas; blacklist.conf keeps names out"),
    ),
    (
        "whisper",
        "workers",
        How::Nothing("every shard writes many files at once: SHARDS"),
    ),
    (
        "whisper",
        "max-updates-per-second",
        How::Limit("MAX_UPDATES_PER_SECOND"),
    ),
    (
        "whisper",
        "max-creates-per-second",
        How::PerMinute("MAX_CREATES_PER_MINUTE"),
    ),
    (
        "whisper",
        "hard-max-creates-per-second",
        How::Nothing("a metric over the limit waits in the cache, it is not dropped"),
    ),
    (
        "whisper",
        "sparse-create",
        How::Switch("WHISPER_SPARSE_CREATE"),
    ),
    (
        "whisper",
        "physical-size-factor",
        How::Nothing("it belongs to compressed files"),
    ),
    ("whisper", "flock", How::Switch("WHISPER_LOCK_WRITES")),
    (
        "whisper",
        "compressed",
        How::Missed("compressed files are not read; convert them with go-whisper's convert first"),
    ),
    ("whisper", "enabled", How::Own(whisper_enabled)),
    (
        "whisper",
        "hash-filenames",
        How::Switch("TAG_HASH_FILENAMES"),
    ),
    ("whisper", "remove-empty-file", How::Nothing(BROKEN_FILES)),
    ("whisper", "online-migration", How::Missed(NO_MIGRATION)),
    (
        "whisper",
        "online-migration-rate",
        How::Nothing(NO_MIGRATION),
    ),
    (
        "whisper",
        "online-migration-global-scope",
        How::Nothing(NO_MIGRATION),
    ),
    ("cache", "max-size", How::Limit("MAX_CACHE_SIZE")),
    ("cache", "write-strategy", How::Own(write_strategy)),
    (
        "cache",
        "bloom-size",
        How::Nothing("names are found in one table"),
    ),
    ("cache", "input-buffer", How::Nothing(QUEUES)),
    ("tags", "enabled", How::Switch("ENABLE_TAGS")),
    ("tags", "tagdb-url", How::As("GRAPHITE_URL")),
    ("tags", "tagdb-chunk-size", How::As("TAG_BATCH_SIZE")),
    (
        "tags",
        "tagdb-update-interval",
        How::As("TAG_UPDATE_INTERVAL"),
    ),
    (
        "tags",
        "tagdb-timeout",
        How::Nothing("a batch that is not taken is sent again"),
    ),
    (
        "tags",
        "local-dir",
        How::Nothing("series that wait are held in memory: TAG_QUEUE_SIZE"),
    ),
];

/// Translates one setting.
pub(super) fn translate(section: &str, key: &str, value: &Value, translation: &mut Translation) {
    let from = format!("[{section}] {key} = {}", said(value));
    let known = SETTINGS
        .iter()
        .find(|(of, name, _)| *of == section && *name == key);
    let Some((_, _, how)) = known else {
        translation.look(&from, "go-carbon's documentation has no such setting");
        return;
    };
    let plain = match value.as_str() {
        Some(text) => text.to_owned(),
        None => said(value),
    };
    match how {
        How::As(option) => translation.set(&from, option, &plain),
        How::Switch(option) => {
            let word = if value.as_bool() == Some(true) {
                "True"
            } else {
                "False"
            };
            translation.set(&from, option, word);
        }
        How::Limit(option) => {
            let number = value.as_integer().unwrap_or_default();
            let text = if number > 0 {
                number.to_string()
            } else {
                "inf".to_owned()
            };
            translation.set(&from, option, &text);
        }
        How::PerMinute(option) => {
            let number = value.as_integer().unwrap_or_default();
            let text = if number > 0 {
                number.saturating_mul(60).to_string()
            } else {
                "inf".to_owned()
            };
            translation.set(&from, option, &text);
        }
        How::Seconds(option) => match seconds(&plain) {
            Some(seconds) => translation.set(&from, option, &seconds.to_string()),
            None => translation.look(&from, "that is no duration that could be read"),
        },
        How::Nothing(reason) => translation.without(&from, reason),
        How::Missed(reason) => {
            if matches!(value, Value::Boolean(false)) || plain.is_empty() {
                translation.without(&from, "it is off");
            } else {
                translation.look(&from, reason);
            }
        }
        How::Own(own) => own(&from, value, translation),
    }
}

/// Whole seconds of a duration as Go writes them: `1m0s`, `90s`, `500ms`.
fn seconds(text: &str) -> Option<u64> {
    let mut total_ms = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        total_ms = number.checked_mul(unit_ms)?.checked_add(total_ms)?;
        rest = after;
    }
    (!text.is_empty()).then(|| total_ms.div_ceil(1000))
}

/// `carbon.agents.{host}` is what CARBON_METRIC_PREFIX = carbon comes to, but for the instance.
fn graph_prefix(from: &str, value: &Value, translation: &mut Translation) {
    let text = value.as_str().unwrap_or_default();
    match text.strip_suffix(".agents.{host}") {
        Some(prefix) if !prefix.is_empty() && !prefix.contains(['{', '}']) => {
            translation.set(from, "CARBON_METRIC_PREFIX", prefix);
            translation.look(
                from,
                "own metrics are named PREFIX.agents.HOST-INSTANCE.NAME, with carbon-cache's names \
                 (docs/operating/metrics.md): dashboards of go-carbon's do not find them",
            );
        }
        Some(_) | None => translation.look(
            from,
            "own metrics are named PREFIX.agents.HOST-INSTANCE.NAME; see CARBON_METRIC_PREFIX",
        ),
    }
}

fn metric_endpoint(from: &str, value: &Value, translation: &mut Translation) {
    match value.as_str() {
        Some("" | "local") => translation.without(from, "own metrics are stored here anyway"),
        Some(_) | None => {
            translation.look(from, "own metrics are stored here; see RELAY_CACHE_METRICS");
        }
    }
}

/// Journal, log files and pid file lie beside the files, where those lie in a directory of their own.
fn data_dir(from: &str, value: &Value, translation: &mut Translation) {
    let path = Path::new(value.as_str().unwrap_or_default());
    translation.set(from, "LOCAL_DATA_DIR", &path.display().to_string());
    let storage = path.parent().filter(|parent| parent.parent().is_some());
    // go-carbon assumes nothing of these.
    translation.is_left_out = false;
    match storage.filter(|_| path.ends_with("whisper")) {
        Some(storage) => translation.set(
            "the same: journal, log files and pid file",
            "STORAGE_DIR",
            &storage.display().to_string(),
        ),
        None => translation.look(
            from,
            "journal, log files and pid file are in STORAGE_DIR, which is /opt/graphite/storage where \
             it is not set",
        ),
    }
}

/// 0 is every core.
fn max_cpu(from: &str, value: &Value, translation: &mut Translation) {
    match value.as_integer() {
        Some(cores @ 1..) => translation.set(from, "SHARDS", &cores.to_string()),
        Some(_) | None => translation.without(from, "all cores are used"),
    }
}

/// The directory of storage-schemas.conf, which is CONF_DIR here.
pub(super) fn conf_dir(whisper: Section<'_>) -> Option<PathBuf> {
    let (value, _) = whisper.get("schemas-file")?;
    let directory = Path::new(value.as_str()?).parent()?;
    (!directory.as_os_str().is_empty()).then(|| directory.to_owned())
}

fn schemas_file(from: &str, value: &Value, translation: &mut Translation) {
    if let Some(directory) = &translation.conf_dir {
        let directory = directory.display().to_string();
        translation.set(from, "CONF_DIR", &directory);
    }
    if !is_in_conf_dir(value, "storage-schemas.conf", translation) {
        translation.look(from, "copy it to CONF_DIR as storage-schemas.conf");
    }
}

fn aggregation_file(from: &str, value: &Value, translation: &mut Translation) {
    if value.as_str() == Some("") {
        let reason = "go-carbon averages every metric then, with xFilesFactor 0.5, and Benzene reads \
                      storage-aggregation.conf in CONF_DIR where there is one";
        translation.look(from, reason);
    } else if is_in_conf_dir(value, "storage-aggregation.conf", translation) {
        translation.without(from, "it is read there, in CONF_DIR");
    } else {
        translation.look(from, "copy it to CONF_DIR as storage-aggregation.conf");
    }
}

/// Rule files lie in CONF_DIR under Python carbon's names.
fn is_in_conf_dir(value: &Value, name: &str, translation: &Translation) -> bool {
    let path = Path::new(value.as_str().unwrap_or_default());
    let directory = translation.conf_dir.as_deref();
    directory.is_some_and(|directory| path == directory.join(name))
}

fn whisper_enabled(from: &str, value: &Value, translation: &mut Translation) {
    if value.as_bool() == Some(false) {
        translation.look(from, "files are always written");
    } else {
        translation.without(from, "files are always written");
    }
}

/// go-carbon's orders under the names that they have here.
fn write_strategy(from: &str, value: &Value, translation: &mut Translation) {
    let option = "CACHE_WRITE_STRATEGY";
    match value.as_str() {
        Some("max") => translation.set(from, option, "max"),
        // By the time of the first point that is not written.
        Some("sorted") => translation.set(from, option, "timesorted"),
        Some("noop") => translation.set(from, option, "naive"),
        Some(_) | None => translation.look(from, "go-carbon has max, sorted and noop"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        for (text, want) in [
            ("1m0s", Some(60)),
            ("90s", Some(90)),
            ("1h", Some(3600)),
            ("500ms", Some(1)),
            ("", None),
            ("60", None),
            ("s", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }
}
