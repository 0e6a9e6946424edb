//! What the operator is told at start about the configuration: one warning for everything that was
//! written and has no effect, and facts that are not in the file but follow from its absence.
//! Never refuses anything; what is wrong has become a `ConfigError` before.

use std::fmt::Write as _;

use benzene_engine::cache::Strategy;
use benzene_engine::limits::{FILE_THREADS_MAX, VOLUME_OTHERS, VOLUME_UPDATES_SSD};
use benzene_engine::ring::Driver;

use super::Settings;
use super::address::{Door, Service};
use super::directories::Surroundings;
use super::instances::{Instances, Share};
use super::low::{Low, Stranger, Written};
use super::option::Standing;
use super::relay;
use super::tags;
use super::value::{Kind, Rate, Value, is_quoted};
use super::volumes::DataDirectory;
use crate::cli::CacheOptions;

/// The warnings about the file, ready to log.
pub(super) fn warnings(low: &Low, settings: &Settings, options: &CacheOptions) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(file) = &low.file
        && low.sections.is_empty()
    {
        let file = file.display();
        warnings.push(format!(
            "{file}: there is neither [cache] nor [cache:{}], so every setting has its default",
            settings.instance
        ));
    }
    warnings.extend(without_effect(low));
    warnings.extend(misleading(low, settings));
    warnings.extend(idle_lists(settings, options));
    warnings
}

/// The values in whose place others are used, of every instance.
pub(super) fn replaced(told: &Instances, settings: &Settings) -> Vec<String> {
    let mut replaced: Vec<String> = Vec::new();
    for it in &told.all {
        let values = it.low.holding().filter_map(|written| {
            let fault = written.fault.as_ref()?;
            let used = written.option.shown(&written.value);
            Some(written.replaced(fault, used))
        });
        let loose = relay::replaced(&it.low).filter(|_| settings.relay.is_some());
        for said in values.chain(loose) {
            if !replaced.contains(&said) {
                replaced.push(said);
            }
        }
    }
    replaced
}

/// One line that names everything that was written and is not acted on.
fn without_effect(low: &Low) -> Option<String> {
    let file = low.file.as_ref()?;
    let written = low.holding().chain(low.of_others());
    let mut parts: Vec<String> = written.filter_map(not_acted_on).collect();
    parts.extend(low.strangers.iter().map(stranger));
    if parts.is_empty() {
        return None;
    }
    Some(format!(
        "{}: has no effect in this version: {}",
        file.display(),
        parts.join("; ")
    ))
}

fn not_acted_on(written: &Written) -> Option<String> {
    let Standing::NotYet { same, instead } = written.option.standing else {
        return None;
    };
    if written.option.means(&written.value, same) {
        return None;
    }
    let (name, line) = (written.option.name, written.place.line);
    // Texts may hold secrets, as RAVEN_DSN does, and the log is read by many.
    let secret = written.option.kind == Kind::Text;
    let value = if secret {
        String::new()
    } else {
        format!(" = {}", written.text)
    };
    Some(format!("{name}{value} in line {line} ({instead})"))
}

fn stranger(stranger: &Stranger) -> String {
    let Stranger {
        key,
        place,
        nearest,
    } = stranger;
    match nearest {
        Some(nearest) => format!(
            "{key} in line {} is no option (did you mean {nearest}?)",
            place.line
        ),
        None => format!("{key} in line {} is no option", place.line),
    }
}

/// Settings that are acted on and yet do something else than they seem to.
pub(super) fn misleading(low: &Low, settings: &Settings) -> Vec<String> {
    let mut warnings: Vec<String> = low.holding().filter_map(quoted).collect();
    if let Some(lag) = low.written("MIN_TIMESTAMP_LAG")
        && settings.timestamp_lag_s > 0
        && settings.strategy != Strategy::TimeSorted
    {
        warnings.push(format!(
            "{}: MIN_TIMESTAMP_LAG acts only with CACHE_WRITE_STRATEGY = timesorted, as in Python \
             carbon; it is {}",
            lag.place,
            settings.strategy.name()
        ));
    }
    if let Some(resolution) = low.written("MIN_TIMESTAMP_RESOLUTION")
        && low.integer("MIN_TIMESTAMP_RESOLUTION") == Some(0)
    {
        warnings.push(format!(
            "{}: MIN_TIMESTAMP_RESOLUTION = 0 acts as 1: timestamps are whole seconds, and of two \
             points in one second the later received wins",
            resolution.place
        ));
    }
    warnings.extend(no_new_files(low));
    warnings.extend(one_ring_for_all(low, settings));
    warnings.extend(few_threads_for_all(low, settings));
    warnings.extend(tags::nowhere(low));
    let storage = low
        .written("STORAGE_DIR")
        .filter(|written| written.by_instance);
    if let Some(storage) = storage
        && low.written("LOCAL_DATA_DIR").is_none()
        && settings.data.len() == 1
    {
        warnings.push(format!(
            "{}: STORAGE_DIR does not move the Whisper files of one instance, as in Python carbon: \
             they stay in {}; set LOCAL_DATA_DIR too to move them",
            storage.place,
            settings.data_dir().display()
        ));
    }
    warnings
}

/// Quotes around a value, which no other type than a text would let pass.
fn quoted(written: &Written) -> Option<String> {
    let is_acted = written.option.standing == Standing::Acted;
    (is_acted && is_quoted(&written.text)).then(|| {
        format!(
            "{}: {} stands in quotes, and these are part of its value, as with Python carbon; take \
             them off",
            written.place, written.option.name
        )
    })
}

/// A limit on creates that lets none be made.
fn no_new_files(low: &Low) -> Option<String> {
    let options = [
        "MAX_CREATES_PER_MINUTE",
        "MAX_CREATES_PER_MINUTE_SSD",
        "MAX_CREATES_PER_MINUTE_HDD",
    ];
    let mut written = options.iter().filter_map(|option| low.written(option));
    let written = written.find(|written| written.value == Value::Rate(Rate::Limited(0.0)))?;
    Some(format!(
        "{}: {} = {} makes no new file, as in Python carbon: points of metrics that have none wait in \
         their share of the cache, and are dropped where that is full",
        written.place, written.option.name, written.text
    ))
}

/// A way to the files by which one disk can hold up another.
fn one_ring_for_all(low: &Low, settings: &Settings) -> Option<String> {
    let written = low.written("WRITER_BACKEND")?;
    (settings.data.len() > 1 && settings.drive.first == Driver::Uring).then(|| {
        format!(
            "{}: WRITER_BACKEND = uring has the files of all data directories written by the same workers \
             of the kernel, where a disk that hangs holds up the others; auto has threads for them",
            written.place
        )
    })
}

/// Fewer threads for all data directories than one whose disk hangs can take.
fn few_threads_for_all(low: &Low, settings: &Settings) -> Option<String> {
    let written = low.written("KERNEL_WORKERS")?;
    let threads = settings.disk.kernel_workers_max?;
    let updates = settings
        .disk
        .updates_in_flight_max
        .unwrap_or(VOLUME_UPDATES_SSD);
    let usual = (settings.data.len() * (updates + VOLUME_OTHERS)).min(FILE_THREADS_MAX);
    (settings.data.len() > 1 && (threads as usize) < usual).then(|| {
        format!(
            "{}: KERNEL_WORKERS = {threads} is for all data directories together, and one whose disk \
             hangs can take them all from the others; auto has {usual} or more",
            written.place
        )
    })
}

/// A list that was named and is not asked.
fn idle_lists(settings: &Settings, options: &CacheOptions) -> Option<String> {
    let named = options.whitelist.is_some() || options.blacklist.is_some();
    (named && settings.rule_files.lists.is_none()).then(|| {
        "--whitelist and --blacklist act only with USE_WHITELIST = True in carbon.conf, as with \
         Python carbon: every name is received"
            .to_owned()
    })
}

/// Facts worth a line at start.
pub(super) fn facts(low: &Low, settings: &Settings, surroundings: &Surroundings) -> Vec<String> {
    let mut facts = vec![source(low, settings)];
    let data: Vec<String> = settings.data.iter().map(DataDirectory::said).collect();
    let data = data.join(", ");
    if settings.data_dir() == surroundings.storage_dir.join("whisper") {
        facts.push(format!(
            "Whisper files are in {data}, as {}",
            surroundings.storage_because
        ));
    } else {
        facts.push(format!("Whisper files are in {data}"));
    }
    facts.extend(share(low, settings));
    if low.file.is_some() {
        facts.extend(silent_interfaces(settings));
        facts.extend(silent_switches(low, settings));
    }
    facts
}

fn source(low: &Low, settings: &Settings) -> String {
    let Some(file) = &low.file else {
        return "no carbon.conf: built-in defaults, listening on this machine only, files of \
                60s:7d (--config names a carbon.conf)"
            .to_owned();
    };
    let mut sections = String::new();
    for (index, name) in low.sections.iter().enumerate() {
        let and = match index {
            0 => "",
            _ if index + 1 == low.sections.len() => " and ",
            _ => ", ",
        };
        if write!(sections, "{and}[{name}]").is_err() {
            unreachable!("a String takes every text")
        }
    }
    let sections = if sections.is_empty() {
        "no section"
    } else {
        &sections
    };
    let names: Vec<&str> = settings
        .instances
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let whose = match names.as_slice() {
        [name] => format!("instance {name}"),
        names => format!("instances {} in one process", names.join(", ")),
    };
    format!(
        "settings are from {sections} of {} ({whose})",
        file.display()
    )
}

/// That a process takes less of the machine, as others of the file may run beside it.
fn share(low: &Low, settings: &Settings) -> Option<String> {
    let Share { served, all } = settings.share;
    let is_open = |option| low.integer(option).is_none();
    if served == all
        || !["MAX_CACHE_BYTES", "JOURNAL_MAX_BYTES"]
            .into_iter()
            .any(is_open)
    {
        return None;
    }
    Some(format!(
        "carbon.conf has {all} instances, and this process answers for {served}: of what one for all would \
         take of memory and of the journal's disk it takes {served}/{all}, but for what MAX_CACHE_BYTES and \
         JOURNAL_MAX_BYTES say"
    ))
}

/// Which listeners are open to the world because nobody said otherwise.
fn silent_interfaces(settings: &Settings) -> Option<String> {
    let open = |door: &&Door| door.is_open_by_default;
    let mut nouns: Vec<&str> = Vec::new();
    for door in settings.doors.iter().filter(open) {
        if !nouns.contains(&door.service.noun()) {
            nouns.push(door.service.noun());
        }
    }
    if nouns.is_empty() {
        return None;
    }
    Some(format!(
        "carbon.conf names no interface for {}: listening on 0.0.0.0, as Python carbon does",
        nouns.join(", ")
    ))
}

/// Defaults of Python carbon under which it does something that is easily overlooked.
fn silent_switches(low: &Low, settings: &Settings) -> Vec<String> {
    let mut facts = Vec::new();
    let has_udp = settings
        .doors
        .iter()
        .any(|door| door.service == Service::Datagram);
    if !has_udp && low.written("ENABLE_UDP_LISTENER").is_none() {
        facts.push(
            "UDP is off, as with Python carbon: carbon.conf does not set ENABLE_UDP_LISTENER"
                .to_owned(),
        );
    }
    if let Some(tags) = &settings.tags
        && low.written("GRAPHITE_URL").is_none()
    {
        facts.push(format!(
            "new tagged series are announced to graphite-web at {}, as with Python carbon: \
             carbon.conf does not set GRAPHITE_URL (ENABLE_TAGS = False turns it off)",
            tags.url.shown()
        ));
    }
    facts
}
